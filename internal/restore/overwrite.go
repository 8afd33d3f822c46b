// What the overwrite modes promise, made true before rsync runs. rsync's own options do not keep it (3.5.0): --update
// goes by whole seconds less one, and not at all for symlinks, special files and further names of a hard link;
// --ignore-existing never ends where something stands in the way of a directory with such a name; and what is one file
// in the target but several in the backup stays one where size and time are right. part.go parts such files.

package restore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// stays tells whether mode leaves an entry of the target alone that stands under the name of one of the backup. A
// directory is its own only where both are one: then it is no file, and what is in it is asked about by itself.
func stays(mode facts.Overwrite, backup, target unix.Stat_t) bool {
	if isDir(backup) && isDir(target) {
		return false
	}
	return mode == facts.OverwriteNever || mode == facts.OverwriteIfNewer && later(target.Mtim, backup.Mtim)
}

// rsyncSees tells whether rsync's own option leaves alone what stays.
func rsyncSees(mode facts.Overwrite, backup, target unix.Stat_t) bool {
	if mode == facts.OverwriteNever {
		return backup.Mode&unix.S_IFMT == target.Mode&unix.S_IFMT
	}
	const hidden = 2 // seconds, with --modify-window=-1
	return isFile(backup) && isFile(target) && backup.Nlink == 1 && target.Mtim.Sec-backup.Mtim.Sec >= hidden
}

func later(a, b unix.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

func isDir(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFDIR }

func isFile(st unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }

// inTheWay is what was found in a target that is not empty.
type inTheWay struct {
	// stay are the paths that rsync must be kept away from, each with all below it.
	stay []string
	// closed are those where the backup has a directory, and those that were asked for themselves.
	closed []string
	// barred are messages about what stays and is in the way of more: what is no directory where the backup has one
	// with files, and a directory with files, as nothing is to be deleted, where the backup has none. rsync 3.5.0 gives
	// up, or never ends, at these if hard links are among the files of the backup.
	barred []string
	// part are the names that need a file of their own.
	part []string
	// devices have the right number and the wrong kind, which rsync does not see.
	devices []string
}

func (f inTheWay) sorted() inTheWay {
	slices.Sort(f.stay)
	slices.Sort(f.closed)
	slices.Sort(f.barred)
	return f
}

// overwriting compares the target with the backup, name by name, and reads no file.
type overwriting struct {
	mode   facts.Overwrite
	delete bool
	// excludes: some names that were found are left alone.
	excludes bool
	fake     bool // see rsyncexec.Stored
	backup   *os.File
	target   *os.File
	shown    string // the target
	paths    []string
	spared   []string // below the target, never looked into

	mu     sync.Mutex
	found  inTheWay
	linked map[mounts.Inode]*linkedNames
}

// lookInTheWay is read-only.
func (x aimed) lookInTheWay(ctx context.Context) (inTheWay, error) {
	if x.target.empty {
		return inTheWay{}, nil
	}
	o := &overwriting{
		mode: x.o.Overwrite, delete: x.o.Delete, excludes: len(x.o.Exclude) > 0, fake: x.stored.FakeSuper, backup: x.view.Root, target: x.target.dir, shown: x.target.shown, paths: x.paths,
		spared: x.target.spared, linked: map[mounts.Inode]*linkedNames{},
	}
	if x.target.remote != nil {
		return x.listTheWay(ctx, o)
	}
	w := walk.Walker{Visit: o.visit, Enter: o.enter, Unreadable: func(*os.File, error) error { return nil }} // rsync names it
	if err := w.Walk(ctx, x.view.Root); err != nil {
		return inTheWay{}, err
	}
	var err error
	o.found.part, err = o.toPart()
	return o.found.sorted(), err
}

func (o *overwriting) visit(dir *os.File, e os.DirEntry) error {
	path := walk.Below(o.backup, dir, e.Name())
	if !isAsked(path, o.paths) {
		return nil
	}
	_, err := o.meet(dir, e.Name(), path, e.Type()&os.ModeDevice != 0)
	return err
}

func (o *overwriting) enter(up *os.File, name string) (*os.File, error) {
	path := walk.Below(o.backup, up, name)
	if !transfer.OnTheWay(path, o.paths) && !isAsked(path, o.paths) || slices.Contains(o.spared, path) {
		return nil, nil
	}
	both, err := o.meet(up, name, path, false)
	if err != nil || !both {
		return nil, err
	}
	dir, err := at.OpenDir(up, name)
	if err != nil {
		return nil, nil // rsync names it
	}
	return dir, nil
}

// isAsked tells whether path is one of paths or lies in one; none is everything.
func isAsked(path string, paths []string) bool {
	return len(paths) == 0 || slices.ContainsFunc(paths, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// meet compares one entry of the backup with what has its name in the target, and tells whether both are directories.
// Where nothing is protected, a file with one name in the place of another needs no second look.
func (o *overwriting) meet(dir *os.File, name, path string, device bool) (bothDirs bool, err error) {
	target, err := at.Stat(o.target, path)
	if err != nil {
		return false, ignoreUnseen(err)
	}
	if o.mode != facts.OverwriteNever && o.mode != facts.OverwriteIfNewer && !device && isFile(target) && target.Nlink < 2 {
		return false, nil
	}
	backup, err := at.Stat(dir, name)
	if err != nil {
		return false, nil // rsync names it
	}
	full := false
	switch {
	case isDir(target) && !isDir(backup) && !o.delete:
		full, err = holdsFiles(o.target, path)
	case isDir(backup) && !isDir(target):
		full, err = holdsFiles(o.backup, path)
	}
	if err != nil {
		return false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.decide(path, backup, target, full)
	return isDir(backup) && isDir(target), nil
}

// decide is about one name. full is asked of a directory where the other side has none.
func (o *overwriting) decide(path string, backup, target unix.Stat_t, full bool) {
	switch {
	case isDir(backup) && isDir(target):
	case stays(o.mode, backup, target):
		if !rsyncSees(o.mode, backup, target) {
			o.found.stay = append(o.found.stay, path)
		}
		if isDir(backup) || slices.Contains(o.paths, path) {
			o.found.closed = append(o.found.closed, path)
		}
		if isDir(backup) && full {
			o.bar(path, "stays, and the backup has a directory in its place", noDirectory(target))
		}
	case full && isDir(target):
		o.found.stay = append(o.found.stay, path)
		o.bar(path, "has another kind in the backup", "Directory not empty (39)")
	case target.Rdev == backup.Rdev && isDevice(target) && isDevice(backup) && (target.Mode^backup.Mode)&unix.S_IFMT != 0:
		o.found.devices = append(o.found.devices, path)
	case target.Nlink > 1 && !isDir(target) && o.upToDate(backup, target, path):
		o.link(path, backup, target)
	}
}

// bar says why, with the words that rsync has for it.
func (o *overwriting) bar(path, how, why string) {
	o.found.barred = append(o.found.barred, fmt.Sprintf("%s %s: %s", filepath.Join(o.shown, path), how, why))
}

// noDirectory is what the kernel says of a path through st.
func noDirectory(st unix.Stat_t) string {
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return "Too many levels of symbolic links (40)"
	}
	return "Not a directory (20)"
}

func holdsFiles(root *os.File, path string) (bool, error) {
	dir, err := at.OpenBeneath(root, path)
	if err != nil {
		return false, ignoreUnseen(err)
	}
	defer dir.Close()
	empty, err := at.IsEmpty(dir)
	return !empty, err
}

func isDevice(st unix.Stat_t) bool {
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFCHR || kind == unix.S_IFBLK
}

// ignoreUnseen: what the caller cannot look at, rsync, with the same rights, cannot write to.
func ignoreUnseen(err error) error {
	for _, kind := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.ENAMETOOLONG} {
		if errors.Is(err, kind) {
			return nil
		}
	}
	return err
}

// upToDate tells whether rsync will do no more to the target than to set attributes, which all its names share. What
// was made with --fake-super is of a kind that only rsync can tell.
func (o *overwriting) upToDate(backup, target unix.Stat_t, path string) bool {
	switch kind := target.Mode & unix.S_IFMT; {
	case isFile(target):
		return o.mode != facts.OverwriteAlways && isFile(backup) && backup.Size == target.Size && backup.Mtim == target.Mtim
	case o.fake:
		return true
	case kind != backup.Mode&unix.S_IFMT:
		return false
	case kind == unix.S_IFLNK:
		a, errA := readlinkBeneath(o.backup, path)
		b, errB := readlinkBeneath(o.target, path)
		return errA == nil && errB == nil && a == b
	}
	return backup.Rdev == target.Rdev
}

func readlinkBeneath(root *os.File, path string) (string, error) {
	dir, err := at.OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return at.Readlink(dir, filepath.Base(path))
}

// prepare makes the target such that rsync does what the mode promises.
func (x aimed) prepare(ctx context.Context) (cleared, error) {
	found, err := x.lookInTheWay(ctx)
	if err != nil {
		return cleared{aimed: x, open: x.paths}, err
	}
	open := slices.DeleteFunc(slices.Clone(x.paths), func(path string) bool {
		return slices.ContainsFunc(found.closed, func(dir string) bool { return strings.HasPrefix(path+"/", dir+"/") })
	})
	way := cleared{x, open, found.stay, found.barred}
	if !x.o.DryRun {
		if len(open) == 0 && len(x.paths) > 0 {
			return way, nil
		}
		return way, x.makeWay(ctx, found)
	}
	for _, text := range found.barred {
		x.tell.Notice("this will not be restored: " + text)
	}
	return way, nil
}

// goesRound is x for another run of rsync, away from what ended it: 3.5.0 gives up at a directory that it cannot empty
// if a hard link was to come in its place. Each run knows more of them; ok is false if this one does not, or something
// else ended it.
func (x cleared) goesRound(end transfer.End) (around cleared, ok bool) {
	var exit *rsyncexec.ExitError
	if !errors.As(end.Err, &exit) || exit.Code != rsyncexec.ExitProtocol || x.o.DryRun {
		return x, false
	}
	around = x
	for _, path := range end.Blocked {
		if !slices.Contains(around.stay, path) {
			around.stay = append(slices.Clone(around.stay), path)
			around.barred = append(slices.Clone(around.barred), filepath.Join(x.target.shown, path)+" has another kind in the backup: Directory not empty (39)")
		}
	}
	return around, len(around.stay) > len(x.stay)
}

// stayRules is a pipe, for rsync to inherit, with the rules that keep it away from what stays; nil if there is none.
// Whoever closes it waits for done. rsync 3.5.0 resolves the path of a file of rules, which one without a name has not.
func (x cleared) stayRules() (rules *os.File, done <-chan struct{}, err error) {
	if len(x.stay) == 0 {
		return nil, nil, nil
	}
	rules, into, err := os.Pipe()
	if err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		defer into.Close()
		w := bufio.NewWriter(into)
		for _, rule := range hiding(x.stay) {
			if _, err := w.WriteString(rule + "\x00"); err != nil {
				return // rsync has ended before it read them, and says why
			}
		}
		if err := w.Flush(); err != nil {
			return
		}
	}()
	return rules, written, nil
}
