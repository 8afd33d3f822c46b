// Directories that say by a file in them that they need not be backed up.

package source

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// cacheTag and how it begins: https://bford.info/cachedir/
const (
	cacheTag       = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)

// maxMarked bounds the rules that rsync is given for marked directories, in bytes. They are words of its command line,
// each twice, of which Linux takes 2 MiB.
const maxMarked = 512 << 10

// Marks are the files by which a directory is left out.
type Marks struct {
	Caches  bool     // CACHEDIR.TAG with its signature
	Present []string // names: whatever has one of them, of any kind
}

func (m Marks) any() bool { return m.Caches || len(m.Present) > 0 }

// Check refuses what is no name of a file, and any mark for a source on another machine.
func (m Marks) Check(src rsyncexec.Source) error {
	if m.any() && src.Kind != rsyncexec.Local {
		return fail.Kindf(facts.ErrUsage, "directories are left out by a file in them only if SRC is on this machine, as rsync has no such rule: leave them out by --exclude")
	}
	for _, name := range m.Present {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return fail.Kindf(facts.ErrUsage, "exclude-if-present %q: want the name of a file, without a directory", name)
		}
	}
	return nil
}

const (
	cachesOption  = "--exclude-caches"
	presentOption = "--exclude-if-present="
)

// Options are the marks as options, for the record.
func (m Marks) Options() (options []string) {
	if m.Caches {
		options = append(options, cachesOption)
	}
	for _, name := range m.Present {
		options = append(options, presentOption+name)
	}
	return options
}

// IsMark tells such an option from those of rsync.
func IsMark(option string) bool {
	return option == cachesOption || strings.HasPrefix(option, presentOption)
}

// marked is a directory that is left out but for itself and the files that say so.
type marked struct {
	dir   string // relative to SRC, "." for itself
	names []string
}

// FindMarked looks for marked directories, which rsync has no rule for: it is given two for each of them. What is
// marked from then on is so for the next backup.
func (s *Source) FindMarked(ctx context.Context, oneFS bool, m Marks) error {
	if !m.any() {
		return nil
	}
	root, err := os.OpenFile(s.Spec.Path, os.O_RDONLY, 0)
	if err != nil {
		return fail.Kind(facts.ErrSource, err)
	}
	defer root.Close()
	found, err := s.walkMarked(ctx, root, oneFS, m)
	if err != nil {
		return fail.Kind(facts.ErrSource, err)
	}
	s.marked = outermost(found)
	if size := s.markedSize(); size > maxMarked {
		return fail.Kindf(facts.ErrUsage, "%d directories in %s are marked, too many to tell rsync of each: leave out what they are in by --exclude", len(s.marked), s.Shown)
	}
	return nil
}

// walkMarked returns the files that mark a directory, by directory. What cannot be read marks nothing.
func (s *Source) walkMarked(ctx context.Context, root *os.File, oneFS bool, m Marks) (map[string][]string, error) {
	var mu sync.Mutex
	found := map[string][]string{}
	look := func(dir *os.File, name string) {
		if !slices.Contains(m.Present, name) && !(m.Caches && name == cacheTag && isCacheTag(dir)) {
			return
		}
		path := walk.Below(root, dir, name)
		mu.Lock()
		defer mu.Unlock()
		found[filepath.Dir(path)] = append(found[filepath.Dir(path)], name)
	}
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			look(dir, e.Name())
			return nil
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			look(dir, name)
			if st, err := at.Stat(dir, name); err != nil || oneFS && uint64(st.Dev) != s.dev || mounts.InodeOf(&st) == s.dest {
				return nil, nil
			}
			sub, err := at.OpenDir(dir, name)
			if err != nil {
				return nil, nil // rsync complains of it
			}
			return sub, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	return found, w.Walk(ctx, root)
}

// isCacheTag follows no symlink, as the rules for that file say, and waits for no fifo.
func isCacheTag(dir *os.File) bool {
	f, err := at.Open(dir, cacheTag, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if st, err := at.StatFile(f); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	head := make([]byte, len(cacheSignature))
	_, err = io.ReadFull(f, head)
	return err == nil && bytes.Equal(head, []byte(cacheSignature))
}

// outermost leaves out what is in another marked directory, and sorts.
func outermost(found map[string][]string) []marked {
	var all []marked
	for dir, names := range found {
		if isBelow(found, dir) {
			continue
		}
		slices.Sort(names)
		all = append(all, marked{dir, names})
	}
	slices.SortFunc(all, func(a, b marked) int { return cmp.Compare(a.dir, b.dir) })
	return all
}

func isBelow(found map[string][]string, dir string) bool {
	for dir != "." {
		dir = filepath.Dir(dir)
		if _, ok := found[dir]; ok {
			return true
		}
	}
	return false
}

// MarkedRules are filter rules of rsync. A directory that is marked stays, with the files that mark it: what is
// restored is marked again.
func (s *Source) MarkedRules() (rules []string) {
	for _, m := range s.marked {
		for _, name := range m.names {
			rules = append(rules, "+ /"+EscapePattern(filepath.Join(m.dir, name)))
		}
		if m.dir == "." {
			rules = append(rules, "- /*")
		} else {
			rules = append(rules, "- /"+escape.Replace(m.dir)+"/*")
		}
	}
	return rules
}

func (s *Source) markedSize() (size int) {
	for _, rule := range s.MarkedRules() {
		size += len(rule)
	}
	return size
}
