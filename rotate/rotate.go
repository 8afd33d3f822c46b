// Package rotate writes a size-bounded log file: NAME grows to a limit, then becomes NAME.1 (replacing the previous
// one) and a new NAME is begun.
//
// One Write is one record of whole lines. A record is never split over the two files, and several processes and
// goroutines may write the same log at once: every write happens under an exclusive flock on the log file itself, so
// there is no lock file that can go stale. A writer whose file was rotated away writes to the new one.
//
// The directory a log lives in may be open to other users, so NAME is checked after it is opened, and a symbolic link
// is not followed: it must be a regular file of ours with a single name. Root may also write the log of the owner of
// the directory, and gives that user a log it makes there.
//
// Lines are not synced to disk one by one. After a power cut the end of the log may be missing or torn; the next record
// then starts on a line of its own.
package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	defaultMaxSize = 1_000_000
	defaultPerm    = fs.FileMode(0o600)

	// Each retry means that another writer rotated in between, so after this many, something other than this package
	// keeps replacing the file.
	maxReopens = 10_000
)

// ErrUnsafe is matched by the errors of OpenAt and Write when NAME is something a log must not be written to: a
// symbolic link, a FIFO, a device, a directory, a file with a second hard link, or a file of another owner than
// expected.
var ErrUnsafe = errors.New("not a private regular file")

var errReplaced = errors.New("another program keeps replacing the file")

// Options of a log. The zero value is usable.
type Options struct {
	// MaxSize in bytes: a record that would take the file past it goes to a new file. 0 means 1,000,000. A record
	// larger than MaxSize is written whole, to a file of its own.
	MaxSize int64

	// Perm is the mode of a new log, before the umask, and the widest mode an existing one may have: wider ones are
	// narrowed. It should include 0600, as the log is opened for reading too. 0 means 0600.
	Perm fs.FileMode
}

// File is an open log. Its methods are safe for concurrent use.
type File struct {
	name    string
	maxSize int64
	perm    uint32

	mu  sync.Mutex
	dir *os.File // our own duplicate
	log *os.File // nil after Close
}

// OpenAt opens or creates the log name in the open directory dir. The name is a single path component; dir may be
// closed afterwards. The caller needs write permission on the directory and must own the log; for root one user must
// own both.
//
// Errors are *fs.PathError, and match ErrUnsafe when the file was refused.
func OpenAt(dir *os.File, name string, o Options) (*File, error) {
	if !isComponent(name) {
		return nil, &fs.PathError{Op: "open log", Path: filepath.Join(dir.Name(), name), Err: unix.EINVAL}
	}
	own, err := duplicate(dir)
	if err != nil {
		return nil, err
	}
	f := &File{name: name, maxSize: o.MaxSize, perm: uint32(o.Perm.Perm()), dir: own}
	if f.maxSize <= 0 {
		f.maxSize = defaultMaxSize
	}
	if f.perm == 0 {
		f.perm = uint32(defaultPerm)
	}
	if f.log, err = openLog(f.dir, f.name, f.perm); err != nil {
		own.Close()
		return nil, err
	}
	return f, nil
}

// Write appends record, one or more whole lines, in one piece. A missing newline at its end is added. An empty record
// writes nothing.
//
// It waits for other writers. When it returns n == 0 and an error, nothing of the record is in the log: a part that
// reached a full disk has been taken back. When it returns n == len(record) and an error, the record is in the log, but
// the log was due for rotation and could not be rotated; it will be tried again at the next write.
func (f *File) Write(record []byte) (n int, err error) {
	if len(record) == 0 {
		return 0, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log == nil {
		return 0, &fs.PathError{Op: "write", Path: f.path(f.name), Err: fs.ErrClosed}
	}
	lines := terminated(record)

	if err := f.lockCurrent(); err != nil {
		return 0, err
	}
	var rotateErr error
	for range maxReopens {
		due, err := f.isDue(len(lines))
		if err != nil {
			return 0, errors.Join(err, unlock(f.log))
		}
		if !due {
			break
		}
		if rotateErr = f.rotate(); rotateErr != nil {
			break
		}
		if err := f.lockCurrent(); err != nil {
			return 0, err
		}
	}
	err = appendLines(f.log, lines)
	err = errors.Join(err, unlock(f.log))
	if err != nil {
		return 0, err
	}
	return len(record), rotateErr
}

// Close closes the log. Later writes fail with fs.ErrClosed, as does a second Close.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log == nil {
		return &fs.PathError{Op: "close", Path: f.path(f.name), Err: fs.ErrClosed}
	}
	err := errors.Join(f.log.Close(), f.dir.Close())
	f.log = nil
	return err
}

// lockCurrent leaves f.log locked and the file that the name points at. Between open and flock another writer may have
// rotated it away.
func (f *File) lockCurrent() error {
	for range maxReopens {
		if err := lock(f.log); err != nil {
			return err
		}
		current, err := isNamed(f.log, f.dir, f.name)
		if err != nil {
			return errors.Join(err, unlock(f.log))
		}
		if current {
			return nil
		}
		if err := unlock(f.log); err != nil {
			return err
		}
		if err := f.reopen(); err != nil {
			return err
		}
	}
	return &fs.PathError{Op: "write", Path: f.path(f.name), Err: errReplaced}
}

// reopen replaces f.log, which stays open when that fails.
func (f *File) reopen() error {
	log, err := openLog(f.dir, f.name, f.perm)
	if err != nil {
		return err
	}
	f.log.Close()
	f.log = log
	return nil
}

// isDue reports whether n more bytes would take the locked log past the limit.
func (f *File) isDue(n int) (bool, error) {
	size, err := sizeOf(f.log)
	return size > 0 && size+int64(n) > f.maxSize, err
}

// rotate renames the locked log to NAME.1 and makes f.log a new one, not locked yet. On error f.log is the old one,
// still locked and, unless the error says otherwise, under its old name.
func (f *File) rotate() error {
	if err := renameLog(f.dir, f.name, f.name+".1"); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	log, err := openLog(f.dir, f.name, f.perm)
	if err != nil {
		return fmt.Errorf("rotate log: %w", errors.Join(err, renameLogBack(f.dir, f.name+".1", f.name)))
	}
	// Closing the only descriptor drops its flock; every write to it has returned.
	f.log.Close()
	f.log = log
	return nil
}

func (f *File) path(name string) string { return filepath.Join(f.dir.Name(), name) }

// appendLines adds lines to the locked log, on a line of their own even if a killed writer left the last line
// incomplete. The part written by a failed write is removed.
func appendLines(log *os.File, lines []byte) error {
	size, err := sizeOf(log)
	if err != nil {
		return err
	}
	torn, err := endsTorn(log, size)
	if err != nil {
		return err
	}
	if torn {
		lines = append([]byte{'\n'}, lines...)
	}
	if _, err := log.Write(lines); err != nil {
		return errors.Join(err, log.Truncate(size))
	}
	return nil
}

func endsTorn(log *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	last := make([]byte, 1)
	if _, err := log.ReadAt(last, size-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

func terminated(record []byte) []byte {
	if record[len(record)-1] == '\n' {
		return record
	}
	return append(append(make([]byte, 0, len(record)+1), record...), '\n')
}
