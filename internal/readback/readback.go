// Reading the files of one backup in parallel, in bounded memory, from the disk and not from the page cache.

package readback

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

const (
	defaultJobs = 4
	// pieceSize is how much of a file one goroutine reads: a large file is read by several.
	pieceSize = 8 << 20
	// readSize is the size of one read, and of the buffer of each goroutine.
	readSize = 1 << 20
	// blockSize is the smallest unit that has a checksum of its own.
	BlockSize = 4096
)

// Pool reads pieces of files. Reads are direct (O_DIRECT): btrfs then reads from the device and checks the checksum
// even if the page cache has the data, and does not copy it. For compressed and inline data btrfs falls back to
// buffered reads; the cache of the file is dropped before (tried on Linux 6.18).
type Pool struct {
	ctx    context.Context
	pieces chan piece
	group  sync.WaitGroup
	read   func(bytes int64) // called after each read
	done   func(f *File)     // called when all pieces of a file are read, before it is closed
}

type piece struct {
	file        *File
	offset, end int64
}

// File is a file of which pieces are being read.
type File struct {
	*os.File
	Path string // in the backup
	size int64
	left atomic.Int32 // pieces not read yet, plus one while pieces are added

	mu  sync.Mutex
	Bad []facts.DamagedRange
	Err error // the first error that is not damage
}

func NewPool(ctx context.Context, jobs int, read func(int64), done func(*File)) (*Pool, error) {
	if jobs == 0 {
		jobs = defaultJobs
	}
	p := &Pool{ctx: ctx, pieces: make(chan piece, 2*jobs), read: read, done: done}
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

// alignedBuffer returns readSize bytes that begin at a page boundary, as direct reads require.
func alignedBuffer() ([]byte, error) {
	buf, err := unix.Mmap(-1, 0, readSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return buf, os.NewSyscallError("mmap", err)
}

// Wait returns when everything that was added has been read.
func (p *Pool) Wait() {
	close(p.pieces)
	p.group.Wait()
}

func (p *Pool) work(buf []byte) {
	for piece := range p.pieces {
		p.readPiece(piece, buf)
		p.Release(piece.file)
	}
	_ = unix.Munmap(buf) // it is ours, and a whole mapping
}

// Hold begins to count the pieces of a file; Release ends it.
func (p *Pool) Hold(f *os.File, path string, size int64) *File {
	file := &File{File: f, Path: path, size: size}
	file.left.Store(1)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // only advice: a direct read does not need it
	return file
}

// Add queues a range of a file that is held, clipped to its size.
func (p *Pool) Add(file *File, offset, end int64) {
	offset -= offset % BlockSize
	for end = min(end, file.size); offset < end; offset += pieceSize {
		file.left.Add(1)
		p.pieces <- piece{file, offset, min(offset+pieceSize, end)}
	}
}

// AddData queues the data of a file, without holes and preallocated space.
func (p *Pool) AddData(file *File, st unix.Stat_t) error {
	if st.Blocks*512 >= st.Size {
		p.Add(file, 0, st.Size)
		return nil
	}
	for offset := int64(0); offset < st.Size; {
		start, err := unix.Seek(int(file.Fd()), offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but holes follows
			return nil
		}
		if err != nil {
			return at.Error("seek", file.File, "", err)
		}
		end, err := unix.Seek(int(file.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return at.Error("seek", file.File, "", err)
		}
		p.Add(file, start, end)
		offset = end
	}
	return nil
}

func (p *Pool) Release(file *File) {
	if file.left.Add(-1) > 0 {
		return
	}
	slices.SortFunc(file.Bad, func(a, b facts.DamagedRange) int { return cmp.Compare(a.Offset, b.Offset) })
	file.Bad = mergeRanges(file.Bad)
	p.done(file)
	_ = file.Close() // opened for reading
}

func (p *Pool) readPiece(piece piece, buf []byte) {
	if p.ctx.Err() != nil {
		piece.file.fail(context.Cause(p.ctx))
		return
	}
	if err := p.readRange(piece.file, buf, piece.offset, piece.end, readSize); err != nil {
		piece.file.fail(err)
	}
}

func (f *File) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Err == nil {
		f.Err = err
	}
}

func (f *File) addBad(offset, length int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Bad = append(f.Bad, facts.DamagedRange{Offset: offset, Length: min(length, f.size-offset)})
}

// readRange reads stride bytes at a time. If a read fails, it halves the stride until it has found the damaged block.
func (p *Pool) readRange(f *File, buf []byte, offset, end, stride int64) error {
	for offset < end {
		want := min(stride, RoundUp(end-offset))
		n, err := preadFile(f.File, buf[:want], offset)
		switch {
		case err == nil && n == 0: // the end of the file
			return nil
		case err == nil:
			offset += int64(n)
			p.read(int64(n))
		case errors.Is(err, unix.EINVAL):
			// The last read was short and ended inside a block, where no direct read can start.
			if cleared, clearErr := clearDirect(f.File); clearErr != nil || !cleared {
				return errors.Join(err, clearErr)
			}
		case !btrfs.IsDamage(err):
			return err
		case want <= BlockSize:
			f.addBad(offset, want)
			offset += want
		default:
			next := min(offset+want, end)
			if err := p.readRange(f, buf, offset, next, RoundUp(want/2)); err != nil {
				return err
			}
			offset = next
		}
	}
	return nil
}

func RoundUp(n int64) int64 { return (n + BlockSize - 1) / BlockSize * BlockSize }

func preadFile(f *os.File, buf []byte, offset int64) (n int, err error) {
	err = at.Retry(func() (err error) {
		n, err = unix.Pread(int(f.Fd()), buf, offset)
		return err
	})
	return n, at.Error("read", f, "", err)
}

// clearDirect switches from direct to buffered reads; it is false if they are buffered already.
func clearDirect(f *os.File) (bool, error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT == 0 {
		return false, at.Error("fcntl", f, "", err)
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags&^unix.O_DIRECT)
	return true, at.Error("fcntl", f, "", err)
}

// mergeRanges joins adjacent sorted ranges.
func mergeRanges(ranges []facts.DamagedRange) []facts.DamagedRange {
	var merged []facts.DamagedRange
	for _, r := range ranges {
		if n := len(merged); n > 0 && merged[n-1].Offset+merged[n-1].Length >= r.Offset {
			merged[n-1].Length = max(merged[n-1].Length, r.Offset+r.Length-merged[n-1].Offset)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// AddOwn queues all the data of a file in pending, under each of its names.
func (p *Pool) AddOwn(dir *os.File, name, path string) error {
	f, err := at.OpenOwn(dir, name, unix.O_RDONLY|unix.O_DIRECT)
	if err != nil {
		return err
	}
	st, err := at.StatFile(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	file := p.Hold(f, path, st.Size)
	defer p.Release(file)
	return p.AddData(file, st)
}

// ReadWhole reads f as Verify does, closes it, and reports whether all of it could be read.
func ReadWhole(ctx context.Context, f *os.File, size int64) bool {
	good := false
	pool, err := NewPool(ctx, 1, func(int64) {}, func(f *File) { good = f.Err == nil && len(f.Bad) == 0 })
	if err != nil {
		_ = f.Close() // opened for reading
		return false
	}
	file := pool.Hold(f, "", size)
	pool.Add(file, 0, size)
	pool.Release(file)
	pool.Wait()
	return good
}
