// What to read of one backup: everything in its tree, or the parts of its
// files that its base does not have.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// backupReader reads one backup.
type backupReader struct {
	run  *verifying
	snap *Snapshot
	base *Snapshot // shares with snap what is not read; nil if all is
	root *os.File
	pool *filePool

	files, bytes, unread atomic.Int64
	metadata             atomic.Int64 // damaged directories and inodes: what is below them is not read
	unshared             atomic.Bool  // who shares some of the damage was not found out

	mu    sync.Mutex
	links map[uint64]bool // inodes with several names that were read
}

func (v *verifying) newBackupReader(b, base *Snapshot) (*backupReader, error) {
	root, err := btrfs.OpenDirAt(v.store.dir, b.Name)
	if err != nil {
		if gone := v.store.gone(*b); gone != nil {
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
	pool, err := newFilePool(r.run.ctx, r.run.o.Jobs, r.count, r.finish)
	if err != nil {
		return err
	}
	r.pool = pool
	lost, err := r.readParts()
	pool.wait()
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
func (r *backupReader) finish(f *pooledFile) {
	r.files.Add(1)
	r.run.advance(1, 0)
	if f.err != nil && !errors.Is(f.err, context.Cause(r.run.ctx)) {
		r.fail(f.err)
	}
	if len(f.bad) > 0 {
		r.run.addDamage(r.locate(f))
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // leaves the cache to those who need it
}

// fail counts something that can not be read.
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
	r.run.addDamage(Damage{
		Backup: r.snap.Name, Path: path, Kind: MetadataDamage, Error: err.Error(),
		Intact: r.intact(path, nil),
	})
}

// readTree reads everything.
func (r *backupReader) readTree() error {
	if err := readAttributes(r.root, "."); err != nil {
		r.failAt("", err)
	}
	w := walker{visit: r.visit, enter: r.enter, unreadable: r.unreadable}
	return w.walk(r.run.ctx, r.root)
}

func (r *backupReader) unreadable(dir *os.File, err error) error {
	r.failAt(below(r.root, dir, ""), err)
	return nil
}

// enter opens a directory. What something is mounted on can not be read.
func (r *backupReader) enter(dir *os.File, name string) (*os.File, error) {
	sub, err := openBelow(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		r.failAt(below(r.root, dir, name), err)
		return nil, nil
	}
	if err := readAttributes(dir, name); err != nil {
		r.failAt(below(r.root, dir, name), err)
	}
	return sub, nil
}

// readAttributes lets the kernel read the extended attributes of what is called
// name: to say how long the list of their names is, it has to read all the blocks
// they are in.
func readAttributes(dir *os.File, name string) error {
	err := retry(func() error {
		_, err := unix.Llistxattr(procPath(dir)+"/"+name, nil)
		return err
	})
	return atError("listxattr", dir, name, err)
}

// visit queues a regular file. Of anything else the inode, its attributes and, of
// a symlink, the target are all there is to read.
func (r *backupReader) visit(dir *os.File, e os.DirEntry) error {
	var err error
	switch {
	case e.Type().IsRegular():
		err = r.addWhole(dir, e.Name(), below(r.root, dir, e.Name()))
	case e.Type()&fs.ModeSymlink != 0:
		_, err = readlinkAt(dir, e.Name())
	default:
		_, err = statAt(dir, e.Name())
	}
	if err == nil {
		err = readAttributes(dir, e.Name())
	}
	if err != nil {
		r.failAt(below(r.root, dir, e.Name()), err)
	}
	return nil
}

// addWhole queues all the data of a file.
func (r *backupReader) addWhole(dir *os.File, name, path string) error {
	f, st, err := openRegular(dir, name)
	if err != nil {
		return err
	}
	if st.Nlink > 1 && r.seen(st.Ino) {
		return f.Close()
	}
	file := r.pool.hold(f, path, st.Size)
	err = r.pool.addData(file, st)
	r.pool.release(file)
	return err
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
	base, err := btrfs.OpenDirAt(r.run.store.dir, r.base.Name)
	if err != nil {
		return err
	}
	defer base.Close()
	var file *pooledFile
	var inode uint64
	done := func() {
		if file != nil {
			r.pool.release(file)
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
			r.pool.add(file, int64(part.Offset), int64(part.Offset+part.Length))
		}
	}
	return nil
}

// holdInode is nil, without an error, for what can not be opened.
func (r *backupReader) holdInode(inode uint64) (*pooledFile, error) {
	path, err := btrfs.InodePath(r.root, 0, inode)
	if err != nil {
		return nil, err
	}
	f, st, err := openRegular(r.root, path)
	if errors.Is(err, errNotRegular) { // a symlink has data as well, and the search has read it
		return nil, nil
	}
	if err != nil {
		r.failAt(path, err)
		return nil, nil
	}
	return r.pool.hold(f, path, st.Size), nil
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens a file of a backup for direct reads, without following
// anything out of it.
func openRegular(dir *os.File, path string) (*os.File, unix.Stat_t, error) {
	f, err := openBelow(dir, path, unix.O_RDONLY|unix.O_DIRECT|unix.O_NONBLOCK)
	if errors.Is(err, unix.ELOOP) {
		return nil, unix.Stat_t{}, atError("open", dir, path, errNotRegular)
	}
	if err != nil {
		return nil, unix.Stat_t{}, err
	}
	var st unix.Stat_t
	err = retry(func() error { return unix.Fstat(int(f.Fd()), &st) })
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if err != nil {
		return nil, st, errors.Join(atError("open", dir, path, err), f.Close())
	}
	return f, st, nil
}

// openBelow opens path below dir; no symlink and no mount point is passed.
func openBelow(dir *os.File, path string, flags uint64) (*os.File, error) {
	return openResolved(dir, path, flags|unix.O_NOFOLLOW, unix.RESOLVE_NO_XDEV)
}
