// Reading the files of one backup in parallel, in bounded memory, from the
// disk and not from the page cache.

package rsbtbackup

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

const (
	defaultJobs = 4
	// pieceSize is what one goroutine reads of a file before another may take
	// over: a large file is read by several.
	pieceSize = 8 << 20
	// readSize is one read, which is also the memory each goroutine has.
	readSize = 1 << 20
	// blockSize is the smallest unit that has a checksum of its own.
	blockSize = 4096
)

// filePool reads pieces of files. Reads are direct (O_DIRECT), which on btrfs
// go to the device and check the checksum even where the page cache has the
// data, and cost no copy; compressed and inline data falls back to buffered
// reads, before which the cache of the file is dropped (tried on Linux 6.18).
type filePool struct {
	ctx    context.Context
	pieces chan piece
	group  sync.WaitGroup
	read   func(bytes int64)   // called after each read
	done   func(f *pooledFile) // called when all pieces of a file are read, before it is closed
}

type piece struct {
	file        *pooledFile
	offset, end int64
}

// pooledFile is a file of which pieces are being read.
type pooledFile struct {
	*os.File
	path string // in the backup
	size int64
	left atomic.Int32 // pieces not read yet, and one for whoever still adds some

	mu  sync.Mutex
	bad []DamagedRange
	err error // the first that is no damage
}

// DamagedRange is a part of a file that can not be read.
type DamagedRange struct {
	Offset int64 `json:"offset"` // bytes
	Length int64 `json:"length"` // bytes
}

func newFilePool(ctx context.Context, jobs int, read func(int64), done func(*pooledFile)) (*filePool, error) {
	if jobs == 0 {
		jobs = defaultJobs
	}
	p := &filePool{ctx: ctx, pieces: make(chan piece, 2*jobs), read: read, done: done}
	var bufs [][]byte
	for range jobs {
		buf, err := alignedBuffer()
		if err != nil {
			for _, b := range bufs {
				err = errors.Join(err, unix.Munmap(b))
			}
			return nil, err
		}
		bufs = append(bufs, buf)
	}
	for _, buf := range bufs {
		p.group.Go(func() { p.work(buf) })
	}
	return p, nil
}

// alignedBuffer returns readSize bytes at the start of a page, as direct reads
// want them.
func alignedBuffer() ([]byte, error) {
	buf, err := unix.Mmap(-1, 0, readSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return buf, os.NewSyscallError("mmap", err)
}

// wait returns when everything that was added has been read.
func (p *filePool) wait() {
	close(p.pieces)
	p.group.Wait()
}

func (p *filePool) work(buf []byte) {
	for piece := range p.pieces {
		p.readPiece(piece, buf)
		p.release(piece.file)
	}
	_ = unix.Munmap(buf) // it is ours, and a whole mapping
}

// hold opens the account of a file; release closes it.
func (p *filePool) hold(f *os.File, path string, size int64) *pooledFile {
	file := &pooledFile{File: f, path: path, size: size}
	file.left.Store(1)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // only advice: a direct read does without
	return file
}

// add queues a range of a file that is held, clipped to its size.
func (p *filePool) add(file *pooledFile, offset, end int64) {
	offset -= offset % blockSize
	for end = min(end, file.size); offset < end; offset += pieceSize {
		file.left.Add(1)
		p.pieces <- piece{file, offset, min(offset+pieceSize, end)}
	}
}

// addData leaves out holes and preallocated space.
func (p *filePool) addData(file *pooledFile, st unix.Stat_t) error {
	if st.Blocks*512 >= st.Size {
		p.add(file, 0, st.Size)
		return nil
	}
	for offset := int64(0); offset < st.Size; {
		start, err := unix.Seek(int(file.Fd()), offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but holes follows
			return nil
		}
		if err != nil {
			return atError("seek", file.File, "", err)
		}
		end, err := unix.Seek(int(file.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return atError("seek", file.File, "", err)
		}
		p.add(file, start, end)
		offset = end
	}
	return nil
}

func (p *filePool) release(file *pooledFile) {
	if file.left.Add(-1) > 0 {
		return
	}
	slices.SortFunc(file.bad, func(a, b DamagedRange) int { return cmp.Compare(a.Offset, b.Offset) })
	file.bad = mergeRanges(file.bad)
	p.done(file)
	_ = file.Close() // opened for reading
}

func (p *filePool) readPiece(piece piece, buf []byte) {
	if p.ctx.Err() != nil {
		piece.file.fail(context.Cause(p.ctx))
		return
	}
	if err := p.readRange(piece.file, buf, piece.offset, piece.end, readSize); err != nil {
		piece.file.fail(err)
	}
}

func (f *pooledFile) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *pooledFile) addBad(offset, length int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = append(f.bad, DamagedRange{offset, min(length, f.size-offset)})
}

// readRange reads in strides, and halves the stride where a read fails until
// it is down to the block that is damaged.
func (p *filePool) readRange(f *pooledFile, buf []byte, offset, end, stride int64) error {
	for offset < end {
		want := min(stride, roundUp(end-offset))
		n, err := preadFile(f.File, buf[:want], offset)
		switch {
		case err == nil && n == 0: // the end of the file
			return nil
		case err == nil:
			offset += int64(n)
			p.read(int64(n))
		case errors.Is(err, unix.EINVAL):
			// The last read ended, short, inside a block: no direct read
			// starts there.
			if cleared, clearErr := clearDirect(f.File); clearErr != nil || !cleared {
				return errors.Join(err, clearErr)
			}
		case !btrfs.IsDamage(err):
			return err
		case want <= blockSize:
			f.addBad(offset, want)
			offset += want
		default:
			next := min(offset+want, end)
			if err := p.readRange(f, buf, offset, next, roundUp(want/2)); err != nil {
				return err
			}
			offset = next
		}
	}
	return nil
}

func roundUp(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

func preadFile(f *os.File, buf []byte, offset int64) (n int, err error) {
	err = retry(func() (err error) {
		n, err = unix.Pread(int(f.Fd()), buf, offset)
		return err
	})
	return n, atError("read", f, "", err)
}

// clearDirect turns direct reads into buffered ones; it is false if they are.
func clearDirect(f *os.File) (bool, error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT == 0 {
		return false, atError("fcntl", f, "", err)
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags&^unix.O_DIRECT)
	return true, atError("fcntl", f, "", err)
}

// mergeRanges joins sorted ranges that touch.
func mergeRanges(ranges []DamagedRange) []DamagedRange {
	var merged []DamagedRange
	for _, r := range ranges {
		if n := len(merged); n > 0 && merged[n-1].Offset+merged[n-1].Length >= r.Offset {
			merged[n-1].Length = max(merged[n-1].Length, r.Offset+r.Length-merged[n-1].Offset)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}
