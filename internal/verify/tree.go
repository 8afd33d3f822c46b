// What to read of one backup: everything in its tree, or the parts of its
// files that its base does not have.

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
	base *facts.Snapshot // shares with snap what is not read; nil if all is
	root *os.File
	pool *readback.Pool

	files, bytes, unread atomic.Int64
	metadata             atomic.Int64 // damaged directories and inodes: what is below them is not read
	unshared             atomic.Bool  // who shares some of the damage was not found out

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
	// What changed after it was made, by hand or by deduplication, or still may,
	// can have lost what the next one inherited.
	if base != nil && (!base.ReadOnly || base.Touched) {
		base = nil
	}
	return &backupReader{run: v, snap: b, base: base, root: root, links: map[uint64]bool{}}, nil
}

func (r *backupReader) close() error { return r.root.Close() }

// whole tells whether the next backup may leave out what it shares with this.
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
		r.failAt("", lost) // whatever it was that only the kernel has met
	}
	return err
}

// readParts reads what the base does not have, or everything. Where the list of
// that is damaged, lost says how.
func (r *backupReader) readParts() (lost, err error) {
	if r.base == nil {
		return nil, r.readTree()
	}
	err = r.readChanged()
	if err == nil || r.run.ctx.Err() != nil {
		return nil, err
	}
	if !errors.Is(err, unix.EPERM) {
		r.run.notice(r.snap.Name + " is read whole: " + err.Error())
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

// finish takes a file all of which was read.
func (r *backupReader) finish(f *readback.File) {
	r.files.Add(1)
	r.run.advance(1, 0)
	if f.Err != nil && !errors.Is(f.Err, context.Cause(r.run.ctx)) {
		r.fail(f.Err)
	}
	if len(f.Bad) > 0 {
		r.run.addDamage(r.locate(f))
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // leaves the cache to those who need it
}

// fail counts something that cannot be read.
func (r *backupReader) fail(err error) {
	r.unread.Add(1)
	r.run.addUnread(err)
}

// failAt sorts an error met at path, outside of file data: damage, or else
// something that was not read. The walk goes on.
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

// enter opens a directory. What something is mounted on cannot be read.
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

// readAttributes lets the kernel read the extended attributes of what is called
// name: to say how long the list of their names is, it has to read all the blocks
// they are in.
func readAttributes(dir *os.File, name string) error {
	err := at.Retry(func() error {
		_, err := unix.Llistxattr(at.ProcPath(dir)+"/"+name, nil)
		return err
	})
	return at.Error("listxattr", dir, name, err)
}

// visit queues a regular file. Of anything else the inode, its attributes and, of
// a symlink, the target are all there is to read.
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

// readChanged reads the data that the base does not have, file by file. It fails
// before it has read anything if the kernel does not tell, and after some of it
// if that part of the tree is damaged. A backup descends from the one before,
// and that has not changed, so what is older than that one was in it as well,
// unless it came by reflink or deduplication.
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

// holdInode is nil, without an error, for what cannot be opened.
func (r *backupReader) holdInode(inode uint64) (*readback.File, error) {
	path, err := btrfs.InodePath(r.root, 0, inode)
	if err != nil {
		return nil, err
	}
	f, st, err := at.OpenRegular(r.root, path)
	if errors.Is(err, at.ErrNotRegular) { // a symlink has data as well, and the search has read it
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

// noteChecksums counts a file if it has data without checksums. For who is not
// root, the way it is mounted has to do where the file itself says nothing.
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
