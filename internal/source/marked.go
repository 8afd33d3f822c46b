// Directories that are marked, by a file in them, as not to be backed up.

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

// cacheTag and its signature: https://bford.info/cachedir/
const (
	cacheTag       = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)

// maxMarked limits the rules for marked directories, in bytes. Each is twice on rsync's command line, which may have 2
// MiB on Linux.
const maxMarked = 512 << 10

// Marks are the files that mark a directory to be left out.
type Marks struct {
	Caches  bool     // CACHEDIR.TAG with its signature
	Present []string // names: an entry of any kind with one of them marks its directory
}

func (m Marks) any() bool { return m.Caches || len(m.Present) > 0 }

// Check refuses invalid file names, and any mark for a remote source.
func (m Marks) Check(src rsyncexec.Source) error {
	if m.any() && src.Kind != rsyncexec.Local {
		return fail.Kindf(facts.ErrUsage, "rsync has no rule for marked directories, so they can be left out only if SRC is on this machine: use --exclude")
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

// Options returns the marks as options, for the record.
func (m Marks) Options() (options []string) {
	if m.Caches {
		options = append(options, cachesOption)
	}
	for _, name := range m.Present {
		options = append(options, presentOption+name)
	}
	return options
}

// IsMark reports whether an option is one of these, not one of rsync.
func IsMark(option string) bool {
	return option == cachesOption || strings.HasPrefix(option, presentOption)
}

// marked is a directory whose contents are left out, except for the files that mark it.
type marked struct {
	dir   string // relative to SRC, "." for itself
	names []string
}

// FindMarked finds marked directories. rsync has no rule for them, so it gets two filter rules for each. Directories
// that are marked later are left out by the next backup.
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
		return fail.Kindf(facts.ErrUsage, "%d directories in %s are marked, too many for rsync's command line: leave out their parent directories with --exclude", len(s.marked), s.Shown)
	}
	return nil
}

// walkMarked returns the files that mark a directory, by directory. Unreadable directories are not marked.
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
				return nil, nil // rsync reports it
			}
			return sub, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	return found, w.Walk(ctx, root)
}

// isCacheTag follows no symlink, as the specification says, and does not wait for a fifo.
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

// outermost sorts, and drops directories inside other marked ones.
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

// MarkedRules are filter rules of rsync. A marked directory and the files that mark it are backed up, so that a
// restored directory is marked again.
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
