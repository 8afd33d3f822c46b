// What to read of one backup: everything in its tree, or only data that its base does not have.

package verify

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/readback"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// backupReader reads one backup.
type backupReader struct {
	run  *verifying
	snap *facts.Snapshot
	base *facts.Snapshot // the backup that has the data that is not read; nil if all is read
	root *os.File
	pool *readback.Pool

	files, bytes, unread atomic.Int64
	metadata             atomic.Int64 // damaged directories and inodes: nothing below them is read
	unshared             atomic.Bool  // which files share some of the damage is not known

	mu    sync.Mutex
	links map[uint64]bool // inodes with several names that were read
}

func (v *verifying) newBackupReader(b, base *facts.Snapshot) (*backupReader, error) {
	root, err := btrfs.OpenDirAt(v.store.Dir, b.Name)
	if err != nil {
		if gone := v.store.Gone(*b); gone != nil {
			return nil, gone
		}
		return nil, err
	}
	// A base that was changed after it was made, by hand or by deduplication, or is still writable, may have lost data
	// that the next backup inherited.
	if base != nil && (!base.ReadOnly || base.Touched) {
		base = nil
	}
	return &backupReader{run: v, snap: b, base: base, root: root, links: map[uint64]bool{}}, nil
}

func (r *backupReader) close() error { return r.root.Close() }

// whole reports whether the next backup may skip data that it shares with this one.
func (r *backupReader) whole() bool {
	return r.unread.Load() == 0 && r.metadata.Load() == 0 && !r.unshared.Load()
}

func (r *backupReader) read() error {
	pool, err := readback.NewPool(r.run.ctx, r.run.o.Jobs, r.count, r.finish)
	if err != nil {
		return err
	}
	r.pool = pool
	lost, err := r.readParts()
	pool.Wait()
	if lost != nil && r.metadata.Load() == 0 {
		r.failAt("", lost) // damage that only the kernel has found
	}
	return err
}

// readParts reads the data that the base does not have, or everything. If the list of that data is damaged, lost is the
// error.
func (r *backupReader) readParts() (lost, err error) {
	if r.base == nil {
		return nil, r.readTree()
	}
	err = r.readChanged()
	if err == nil || r.run.ctx.Err() != nil {
		return nil, err
	}
	if !errors.Is(err, unix.EPERM) {
		r.run.notice(r.snap.Name + " is read completely: " + err.Error())
	}
	if btrfs.IsDamage(err) {
		lost = err
	}
	r.base = nil
	return lost, r.readTree()
}

func (r *backupReader) count(bytes int64) {
	r.bytes.Add(bytes)
	r.run.advance(0, bytes)
}

// finish takes a file that was read completely.
func (r *backupReader) finish(f *readback.File) {
	r.files.Add(1)
	r.run.advance(1, 0)
	if f.Err != nil && !errors.Is(f.Err, context.Cause(r.run.ctx)) {
		r.fail(f.Err)
	}
	if len(f.Bad) > 0 {
		r.run.addDamage(r.locate(f))
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // frees the page cache for others
}

// fail counts something that cannot be read.
func (r *backupReader) fail(err error) {
	r.unread.Add(1)
	r.run.addUnread(err)
}

// failAt classifies an error at path, outside of file data: damage, or something that was not read. The walk continues.
func (r *backupReader) failAt(path string, err error) {
	if !btrfs.IsDamage(err) {
		r.fail(err)
		return
	}
	r.metadata.Add(1)
	r.run.addDamage(facts.Damage{
		Backup: r.snap.Name, Path: path, Kind: facts.MetadataDamage, Error: err.Error(),
		Intact: r.intact(path, nil),
	})
}

// readTree reads everything.
func (r *backupReader) readTree() error {
	if err := readAttributes(r.root, "."); err != nil {
		r.failAt("", err)
	}
	w := walk.Walker{Visit: r.visit, Enter: r.enter, Unreadable: r.unreadable}
	return w.Walk(r.run.ctx, r.root)
}

func (r *backupReader) unreadable(dir *os.File, err error) error {
	r.failAt(walk.Below(r.root, dir, ""), err)
	return nil
}

// enter opens a directory. A directory that something is mounted on cannot be read.
func (r *backupReader) enter(dir *os.File, name string) (*os.File, error) {
	sub, err := at.OpenBelow(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		r.failAt(walk.Below(r.root, dir, name), err)
		return nil, nil
	}
	if err := readAttributes(dir, name); err != nil {
		r.failAt(walk.Below(r.root, dir, name), err)
	}
	return sub, nil
}

// readAttributes makes the kernel read all blocks with extended attributes of name: it needs them to compute the length
// of the list of names.
func readAttributes(dir *os.File, name string) error {
	err := at.Retry(func() error {
		_, err := unix.Llistxattr(at.ProcPath(dir)+"/"+name, nil)
		return err
	})
	return at.Error("listxattr", dir, name, err)
}

// visit queues a regular file. For other entries it reads the inode, the attributes and the target of a symlink.
func (r *backupReader) visit(dir *os.File, e os.DirEntry) error {
	var err error
	switch {
	case e.Type().IsRegular():
		err = r.addWhole(dir, e.Name(), walk.Below(r.root, dir, e.Name()))
	case e.Type()&fs.ModeSymlink != 0:
		_, err = at.Readlink(dir, e.Name())
	default:
		_, err = at.Stat(dir, e.Name())
	}
	if err == nil {
		err = readAttributes(dir, e.Name())
	}
	if err != nil {
		r.failAt(walk.Below(r.root, dir, e.Name()), err)
	}
	return nil
}

// addWhole queues all the data of a file.
func (r *backupReader) addWhole(dir *os.File, name, path string) error {
	f, st, err := at.OpenRegular(dir, name)
	if err != nil {
		return err
	}
	if st.Nlink > 1 && r.seen(st.Ino) {
		return f.Close()
	}
	file := r.pool.Hold(f, path, st.Size)
	defer r.pool.Release(file)
	if err := r.noteChecksums(f, st, path); err != nil {
		return err
	}
	return r.pool.AddData(file, st)
}

func (r *backupReader) seen(inode uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.links[inode] {
		return true
	}
	r.links[inode] = true
	return false
}

// readChanged reads the data that the base does not have, file by file. It fails before it has read anything if the
// kernel cannot list that data, and later if that part of the tree is damaged. A backup is a snapshot of the one
// before, which has not changed since, so data older than that one was in it too, unless it came by reflink or
// deduplication.
func (r *backupReader) readChanged() error {
	base, err := btrfs.OpenDirAt(r.run.store.Dir, r.base.Name)
	if err != nil {
		return err
	}
	defer base.Close()
	var file *readback.File
	var inode uint64
	done := func() {
		if file != nil {
			r.pool.Release(file)
		}
		file = nil
	}
	defer func() { done() }()
	for part, err := range btrfs.UnsharedRanges(r.root, base, r.base.Generation) {
		if err != nil {
			return err
		}
		if r.run.ctx.Err() != nil {
			return context.Cause(r.run.ctx)
		}
		if part.Inode != inode {
			done()
			inode = part.Inode
			if file, err = r.holdInode(inode); err != nil {
				return err
			}
		}
		if file != nil {
			r.pool.Add(file, int64(part.Offset), int64(part.Offset+part.Length))
		}
	}
	return nil
}

// holdInode is nil, without an error, for an inode that cannot be opened.
func (r *backupReader) holdInode(inode uint64) (*readback.File, error) {
	path, err := btrfs.InodePath(r.root, 0, inode)
	if err != nil {
		return nil, err
	}
	f, st, err := at.OpenRegular(r.root, path)
	if errors.Is(err, at.ErrNotRegular) { // a symlink has data too, which the search has read
		return nil, nil
	}
	if err != nil {
		r.failAt(path, err)
		return nil, nil
	}
	if err := r.noteChecksums(f, st, path); err != nil {
		r.failAt(path, err)
	}
	return r.pool.Hold(f, path, st.Size), nil
}

// noteChecksums counts a file if it has data without checksums. For an ordinary user the mount options decide if the
// file itself does not show it.
func (r *backupReader) noteChecksums(f *os.File, st unix.Stat_t, path string) error {
	if st.Size == 0 || st.Blocks == 0 {
		return nil
	}
	lacks, certain, err := btrfs.LacksChecksums(f)
	if err != nil || !lacks && (certain || !r.run.unsummed) {
		return err
	}
	if st.Size <= readback.BlockSize {
		extents, err := btrfs.Extents(f, 0, uint64(st.Size))
		if err != nil || len(extents) == 0 || extents[0].Inline {
			return err
		}
	}
	r.run.addNotVerified(r.snap.Name, path)
	return nil
}
