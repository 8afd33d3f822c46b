// Holes: keeping sparse files sparse in later backups.
//
// rsync --sparse makes holes in files it writes anew, but together with --inplace it rewrites unchanged blocks of files
// that exist (4 KiB changed in 512 MiB cost 764 KiB instead of 28, rsync 3.5.0). So later backups do not use it, and
// the zeros that rsync wrote are replaced by holes afterwards, in the ranges that the kernel reports as newly written.

package pending

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
)

const (
	// HoleRange is the smallest new range that is examined, holeUnit how much of it is read at once, holeBlock the
	// block of the filesystem.
	HoleRange = 128 << 10
	holeUnit  = 64 << 10
	holeBlock = 4 << 10
	// holeShare: at least one in this many bytes of a range must be zero. btrfs keeps an extent while any part of it is
	// used, so the other bytes are written again, and the gain must be worth it.
	holeShare = 4
)

// puncher replaces zeros by holes in the files of pending that a transfer changed.
type puncher struct {
	pending *os.File
	src     *source.Source
	begin   func() error // before the first change
	begun   bool

	inode uint64
	file  *os.File // of inode; nil: not worth examining
	stat  unix.Stat_t
	dirty bool
	buf   []byte
}

// PunchHoles examines every range written since a generation and reports whether it changed anything. All of pending
// must have been flushed. Only root may query ranges; for others holes stay zeros.
func PunchHoles(ctx context.Context, pending *os.File, src *source.Source, since uint64, begin func() error) (changed bool, err error) {
	p := &puncher{pending: pending, src: src, begin: begin, buf: make([]byte, holeUnit)}
	defer func() { err = errors.Join(err, p.done()) }()
	for r, err := range btrfs.ChangedRanges(pending, since) {
		if errors.Is(err, unix.EPERM) {
			return false, nil
		}
		if err != nil {
			return p.begun, err
		}
		if ctx.Err() != nil {
			return p.begun, context.Cause(ctx)
		}
		if r.Length < HoleRange {
			continue
		}
		if err := p.open(r.Inode); err != nil {
			return p.begun, err
		}
		err := p.punch(int64(r.Offset), int64(r.Length))
		if fail.IsFull(err) {
			return p.begun, nil // the data is complete; only no space is saved
		}
		if err != nil {
			return p.begun, err
		}
	}
	return p.begun, nil
}

// open continues with another file, if it may have holes.
func (p *puncher) open(inode uint64) error {
	if p.inode == inode {
		return nil
	}
	if err := p.done(); err != nil {
		return err
	}
	p.inode = inode
	path, err := btrfs.InodePath(p.pending, 0, inode)
	if errors.Is(err, unix.ENAMETOOLONG) {
		return nil // its holes stay zeros
	}
	if err != nil {
		return err
	}
	dense, err := p.denseAtSource(path)
	if err != nil || dense {
		return err
	}
	dir, err := at.OpenBeneath(p.pending, filepath.Dir(path))
	if err != nil {
		return err
	}
	f, err := at.Open(dir, filepath.Base(path), unix.O_RDWR, 0)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	if err := unix.Fstat(int(f.Fd()), &p.stat); err != nil {
		return errors.Join(&fs.PathError{Op: "stat", Path: f.Name(), Err: err}, f.Close())
	}
	if at.CheckTimes(int(f.Fd())) != nil {
		return f.Close() // its holes stay zeros
	}
	// Any write removes the capabilities of a file (file_remove_privs).
	_, err = unix.Fgetxattr(int(f.Fd()), "security.capability", nil)
	if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
		return f.Close()
	}
	p.file = f
	return nil
}

// denseAtSource reports whether the file has no holes at a local source.
func (p *puncher) denseAtSource(path string) (bool, error) {
	if !p.src.Local() {
		return false, nil
	}
	var st unix.Stat_t
	err := unix.Lstat(filepath.Join(p.src.Spec.Path, path), &st)
	if err != nil {
		return false, nil // it was changed meanwhile
	}
	return st.Blocks*512 >= st.Size && (!mayBePreallocated(&st) || unwrittenOf(unix.AT_FDCWD, filepath.Join(p.src.Spec.Path, path), &st) == 0), nil
}

// punch makes holes in one range.
func (p *puncher) punch(offset, length int64) error {
	if p.file == nil {
		return nil
	}
	end := min(offset+length, p.stat.Size)
	var empty int64
	err := p.pieces(offset, end, func(_ int64, data []byte, zero bool) error {
		if zero {
			empty += int64(len(data))
		}
		return nil
	})
	if err != nil || empty == 0 || empty*holeShare < end-offset {
		return err
	}
	if err := p.change(); err != nil {
		return err
	}
	return p.pieces(offset, end, p.rewrite)
}

// rewrite replaces zeros by a hole and writes other data again, so that nothing uses the old extent any more.
func (p *puncher) rewrite(pos int64, data []byte, zero bool) error {
	if !zero {
		_, err := p.file.WriteAt(data, pos)
		return err
	}
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	err := at.Retry(func() error { return unix.Fallocate(int(p.file.Fd()), mode, pos, int64(len(data))) })
	if err != nil {
		return &fs.PathError{Op: "punch hole", Path: p.file.Name(), Err: err}
	}
	return nil
}

// pieces reads a range unit by unit, each up to the next multiple of holeUnit, and visits the zeros at both ends of a
// unit and the data between them separately.
func (p *puncher) pieces(offset, end int64, visit func(at int64, data []byte, zero bool) error) error {
	for at := offset; at < end; {
		data := p.buf[:min(holeUnit-at%holeUnit, end-at)]
		if _, err := p.file.ReadAt(data, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		first, last := trim(data)
		for _, piece := range []struct {
			from, to int
			zero     bool
		}{{0, first, true}, {first, last, false}, {last, len(data), true}} {
			if piece.from == piece.to {
				continue
			}
			if err := visit(at+int64(piece.from), data[piece.from:piece.to], piece.zero); err != nil {
				return err
			}
		}
		at += int64(len(data))
	}
	return nil
}

// trim returns where the blocks that are not zeros begin and end; both are len(data) if all are.
func trim(data []byte) (first, last int) {
	first, last = 0, len(data)
	for first < last && isZero(data[first:min(first+holeBlock, last)]) {
		first = min(first+holeBlock, last)
	}
	for last > first {
		from := (last - 1) / holeBlock * holeBlock
		if !isZero(data[max(from, first):last]) {
			break
		}
		last = max(from, first)
	}
	return first, last
}

// isZero compares data with itself shifted by one byte, which the runtime does with wide instructions.
func isZero(data []byte) bool {
	return len(data) == 0 || data[0] == 0 && bytes.Equal(data[1:], data[:len(data)-1])
}

func (p *puncher) change() error {
	p.dirty = true
	if p.begun {
		return nil
	}
	p.begun = true
	return p.begin()
}

// done restores the times of the file and closes it.
func (p *puncher) done() error {
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file, p.inode = nil, 0
	var err error
	if p.dirty {
		p.dirty = false
		if err = restoreTimes(f, &p.stat); err != nil {
			err = fmt.Errorf("after punching holes: %w", err)
		}
	}
	return errors.Join(err, f.Close())
}

func restoreTimes(f *os.File, st *unix.Stat_t) error {
	return setTimes(f, []unix.Timespec{st.Atim, st.Mtim})
}

// setTimes uses /proc, which names the open file itself.
func setTimes(f *os.File, times []unix.Timespec) error {
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0)
	if err != nil {
		return &fs.PathError{Op: "utimens", Path: f.Name(), Err: err}
	}
	return nil
}
