// The promises of the overwrite modes, prepared before rsync runs. rsync's own options do not keep them (3.5.0):
// --update compares whole seconds less one, and ignores symlinks, special files and further names of a hard link.
// --ignore-existing never ends if an entry blocks a directory that contains such a name. Names that are one file in the
// target but several in the backup stay one file if size and time are equal; part.go separates them.

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
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// stays reports whether mode keeps an entry of the target that has the name of one in the backup. Two directories are
// merged: their entries are decided one by one.
func stays(mode facts.Overwrite, backup, target unix.Stat_t) bool {
	if isDir(backup) && isDir(target) {
		return false
	}
	return mode == facts.OverwriteNever || mode == facts.OverwriteIfNewer && later(target.Mtim, backup.Mtim)
}

// rsyncSees reports whether rsync's own option keeps an entry that stays.
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

// inTheWay is the result of comparing a target that is not empty with the backup.
type inTheWay struct {
	// stay are the paths that rsync must not touch, each with everything below it.
	stay []string
	// closed are those of stay where the backup has a directory, and those that the user asked for.
	closed []string
	// barred are messages about entries that stay and block more than themselves: a non-directory where the backup has
	// a directory with files, and a directory with files (nothing may be deleted) where the backup has none. rsync
	// 3.5.0 fails, or never ends, at these if the backup has hard links.
	barred []string
	// part are the names that must become separate files.
	part []string
	// devices have the right number but the wrong kind, which rsync does not notice.
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
	// excludes: some of the names found are excluded.
	excludes bool
	fake     bool // see rsyncexec.Stored
	backup   *os.File
	target   *os.File
	shown    string // the target
	paths    []string
	spared   []string // directories with backups below the target, never entered

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
	w := walk.Walker{Visit: o.visit, Enter: o.enter, Unreadable: func(*os.File, error) error { return nil }} // rsync reports it
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
	if !transfer.OnTheWay(path, o.paths) || slices.Contains(o.spared, path) {
		return nil, nil
	}
	both, err := o.meet(up, name, path, false)
	if err != nil || !both {
		return nil, err
	}
	dir, err := at.OpenDir(up, name)
	if err != nil {
		return nil, nil // rsync reports it
	}
	return dir, nil
}

// isAsked reports whether path is one of paths or below one; no paths mean everything.
func isAsked(path string, paths []string) bool { return len(paths) == 0 || at.Covered(path, paths) }

// meet compares one entry of the backup with the entry of that name in the target, and reports whether both are
// directories. If the mode protects nothing, two files with one name each need no further comparison.
func (o *overwriting) meet(dir *os.File, name, path string, device bool) (bothDirs bool, err error) {
	target, err := at.Stat(o.target, path)
	if err != nil {
		return false, ignoreUnseen(err)
	}
	if !o.protects() && !device && isFile(target) && target.Nlink < 2 {
		return false, nil
	}
	backup, err := at.Stat(dir, name)
	if err != nil {
		return false, nil // rsync reports it
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
	bothDirs = isDir(backup) && isDir(target)
	closed := false
	if bothDirs && o.protects() {
		if closed, err = o.closedWith(path); err != nil {
			return false, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if closed {
		o.found.stay = append(o.found.stay, path)
		o.found.closed = append(o.found.closed, path)
		o.bar(path, "cannot be entered, so what is in it stays", "Permission denied (13)")
		return false, nil
	}
	o.decide(path, backup, target, full)
	return bothDirs, nil
}

// decide decides about one name. full says whether a directory has entries, if the other side is not a directory.
func (o *overwriting) decide(path string, backup, target unix.Stat_t, full bool) {
	switch {
	case isDir(backup) && isDir(target):
	case stays(o.mode, backup, target):
		if !rsyncSees(o.mode, backup, target) {
			o.found.stay = append(o.found.stay, path)
		}
		if _, asked := slices.BinarySearch(o.paths, path); asked || isDir(backup) {
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

// bar adds a message with the reason, in rsync's words.
func (o *overwriting) bar(path, how, why string) {
	o.found.barred = append(o.found.barred, fmt.Sprintf("%s %s: %s", filepath.Join(o.shown, path), how, why))
}

// noDirectory is the kernel's error for a path through st.
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

// ignoreUnseen drops the error of an entry that the caller cannot look at: rsync has the same rights and cannot write
// there.
func ignoreUnseen(err error) error {
	for _, kind := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP, unix.EACCES, unix.ENAMETOOLONG} {
		if errors.Is(err, kind) {
			return nil
		}
	}
	return err
}

// upToDate reports whether rsync will only set attributes of the target, which all its names share. The real kind of a
// file made with --fake-super is known only to rsync.
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

// prepare changes the target so that rsync does what the mode promises.
func (x aimed) prepare(ctx context.Context) (cleared, error) {
	found, err := x.lookInTheWay(ctx)
	if err != nil {
		return cleared{aimed: x, open: x.paths}, err
	}
	open := slices.DeleteFunc(slices.Clone(x.paths), func(path string) bool { return at.Covered(path, found.closed) })
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

// goesRound is x for another run of rsync, without the paths that made this one fail: 3.5.0 fails at a directory that
// it cannot empty if a hard link should replace it. Each run finds more of these paths. ok is false if this one found
// none, or failed for another reason.
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

// stayRules is a pipe for rsync with the rules that protect what stays; nil if nothing does. After closing it, wait for
// done. A deleted file would not do: rsync 3.5.0 resolves the path of a file of rules.
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
				return // rsync ended before it read them, and reports why
			}
		}
		if err := w.Flush(); err != nil {
			return
		}
	}()
	return rules, written, nil
}
