// Folded: whether the target takes different names for one, as shares and disks of Windows and macOS do.

package restore

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// casefold is the flag of a directory in which upper and lower case are the same (FS_CASEFOLD_FL).
const casefold = 0x40000000

// checkNames returns an error if files are missing in a local target because their names are those of others there.
// rsync then writes one over the other, without a word.
func (x cleared) checkNames(ctx context.Context) error {
	if x.target.remote != nil || x.o.DryRun || x.leftAlone() || tellsNamesApart(x.target.dir) {
		return nil
	}
	f := &folds{backup: x.view.Root, target: x.target.dir}
	if err := f.look(ctx, x.open); err != nil || len(f.found) == 0 {
		return err
	}
	slices.Sort(f.found)
	f.found = slices.Compact(f.found)
	text := x.target.shown + " takes names that differ, as in upper and lower case, for one, so of these only some are there: " + say.QuoteSome(f.found)
	if len(x.o.Exclude) > 0 { // some of them may be left out on purpose
		x.tell.Notice(text)
		return nil
	}
	return fail.Kindf(facts.ErrIncomplete, "%s is restored, but not all of it: %s", x.view.Snap.Name, text)
}

// tellsNamesApart reports whether names of other bytes are other names in dir.
func tellsNamesApart(dir *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(dir.Fd()), &st) != nil {
		return false
	}
	switch uint32(st.Type) { // signed on 32-bit machines
	case unix.BTRFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC:
		return true
	case unix.EXT4_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC:
		flags, err := unix.IoctlGetUint32(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
		return err != nil || flags&casefold == 0
	}
	return false
}

// folds collects the names that are one in the target.
type folds struct {
	backup, target *os.File

	mu    sync.Mutex
	found []string
}

// look examines what was restored; no paths mean everything.
func (f *folds) look(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return f.tree(ctx, ".")
	}
	siblings := map[string][]string{}
	for _, path := range paths {
		siblings[filepath.Dir(path)] = append(siblings[filepath.Dir(path)], filepath.Base(path))
	}
	for dir, names := range siblings {
		f.compare(dir, names)
	}
	for _, path := range paths {
		if err := f.tree(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// tree examines everything below a directory. What cannot be read there, the restore has already reported.
func (f *folds) tree(ctx context.Context, path string) error {
	top, err := at.OpenBeneath(f.backup, path)
	if err != nil {
		return nil // a file, or as above
	}
	defer top.Close()
	f.directory(top, path)
	w := walk.Walker{
		Visit: func(*os.File, os.DirEntry) error { return nil },
		Enter: func(dir *os.File, name string) (*os.File, error) {
			sub, err := at.OpenDir(dir, name)
			if err != nil {
				return nil, nil
			}
			f.directory(sub, walk.Below(f.backup, dir, name))
			return sub, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	return w.Walk(ctx, top)
}

func (f *folds) directory(dir *os.File, path string) {
	if again, err := at.OpenDir(dir, "."); err == nil {
		names, _ := at.Names(again)
		_ = again.Close() // it was only read
		f.compare(path, names)
	}
}

// compare adds the names of a directory that are one in the target: names that the target has, but does not list, and
// those of the same inode. Where each name has an inode number of its own, as in many filesystems of FUSE, they are
// those that differ in case alone.
func (f *folds) compare(path string, names []string) {
	dir, err := at.OpenBeneath(f.target, path)
	if err != nil {
		return
	}
	defer dir.Close()
	listed, err := at.Names(dir)
	if err != nil {
		return
	}
	slices.Sort(listed)
	inodes, folded := map[uint64]bool{}, map[string]bool{} // of names that are other ones than in the backup
	for _, name := range names {
		if _, ok := slices.BinarySearch(listed, name); !ok {
			if st, err := at.Stat(dir, name); err == nil {
				inodes[st.Ino], folded[strings.ToLower(name)] = true, true
			}
		}
	}
	if len(inodes) == 0 {
		return
	}
	byInode, byName := map[uint64][]string{}, map[string][]string{}
	for _, name := range names {
		if st, err := at.Stat(dir, name); err == nil && inodes[st.Ino] {
			byInode[st.Ino] = append(byInode[st.Ino], filepath.Join(path, name))
		}
		if low := strings.ToLower(name); folded[low] {
			byName[low] = append(byName[low], filepath.Join(path, name))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, same := range byInode {
		f.add(same)
	}
	for _, same := range byName {
		f.add(same)
	}
}

func (f *folds) add(same []string) {
	if len(same) > 1 {
		f.found = append(f.found, same...)
	}
}
