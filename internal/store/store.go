// The store: DEST held open. Everything below it is reached through its two
// descriptors, resolved once.

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

type Store struct {
	Path   string   // DEST without symlinks, for messages and to find an overlap with the source
	Dir    *os.File // DEST; it has the lock, and its syncfs reports every later write error
	logDir *os.File // DEST/.log
	// logLost says how .log is damaged. logDir then is an empty file, or what is left.
	logLost error
	// pendingAt is the name of pending, if known: another name if the usual one cannot even be renamed.
	pendingAt string
	// LockWait is how long to wait for the lock of the records; 0 means the default.
	LockWait time.Duration
	// waiting, if set, is called when waiting begins.
	waiting func(time.Duration)
	// KeepLock is set if an rsync of this run still lives: the lock that it inherited must remain.
	KeepLock bool
	// ahead is what FlushAhead has begun.
	ahead sync.WaitGroup
}

// openDest opens DEST and checks it is on btrfs.
func openDest(dest string) (*os.File, error) {
	if dest == "" {
		return nil, fail.Kindf(facts.ErrUsage, "open DEST: the path is empty")
	}
	path, err := at.Absolute(dest)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return nil, fail.Kind(facts.ErrDest, &fs.PathError{Op: "open", Path: missing.Path, Err: missing.Err})
	}
	if err != nil {
		return nil, fail.Kind(facts.ErrDest, err)
	}
	dir, err := btrfs.OpenDir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, fail.Kind(facts.ErrDest, err)
	}
	return dir, err
}

// Open opens an initialised DEST.
func Open(dest string) (*Store, error) {
	dir, err := openDest(dest)
	if err != nil {
		return nil, fail.Step("DEST", err)
	}
	s := &Store{Path: dir.Name(), Dir: dir}
	if err := s.openLogDir(); err != nil {
		return nil, fail.Step("DEST", errors.Join(err, s.Close()))
	}
	return s, nil
}

// openLogDir opens .log and checks the marker in it. A symlink of either name is refused, so that nobody can redirect
// our writes.
func (s *Store) openLogDir() error {
	log, err := at.OpenDir(s.Dir, LogDirName)
	if btrfs.IsDamage(err) {
		s.logLost = err
		s.logDir, err = nothing(filepath.Join(s.Path, LogDirName))
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return s.notInitialized()
	}
	if err != nil {
		return err
	}
	s.logDir = log
	st, err := at.Stat(log, markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return s.notInitialized()
	}
	if btrfs.IsDamage(err) {
		s.logLost = err
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return at.Error("open", log, markerName, errors.New("not a regular file"))
	}
	return nil
}

// notInitialized distinguishes a directory with backups, left by rm -rf or made by a predecessor, from one without.
func (s *Store) notInitialized() error {
	names, err := at.Names(s.Dir)
	if err != nil {
		return err
	}
	backups := 0
	for _, name := range names {
		if _, ok := parseName(name, time.UTC); !ok {
			continue
		}
		if info, err := s.subvolumeAt(name); err == nil && info != nil {
			backups++
		}
	}
	if backups > 0 {
		return fail.Kindf(facts.ErrNotInitialized, "%s is %w, but holds %s: run init to use it again", s.Path, facts.ErrNotInitialized, say.Plural(backups, "backup"))
	}
	return fail.Kindf(facts.ErrNotInitialized, "%s is %w", s.Path, facts.ErrNotInitialized)
}

// nothing is used instead of a damaged directory: nothing can be opened, made or removed in it (ENOTDIR).
func nothing(path string) (*os.File, error) {
	fd, err := unix.Open("/dev/null", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// mayChange refuses changes if they cannot be recorded. Reading does not need the log.
func (s *Store) mayChange() error {
	lost := s.logLost
	if lost == nil {
		records, err := s.openRecords(false)
		if records != nil {
			_ = records.Close() // nothing was written
		}
		lost = err
	}
	if btrfs.IsDamage(lost) {
		return fail.Kindf(facts.ErrDamaged, "%s is damaged: the backups can be read, but none can be made, changed or deleted there; to go on, init another directory: %w", filepath.Join(s.Path, LogDirName), lost)
	}
	return lost
}

// Close also releases the lock explicitly. Closing alone may do so later: a child that another goroutine is just
// starting holds a copy of every descriptor until exec.
func (s *Store) Close() error {
	s.ahead.Wait()
	var err error
	if s.logDir != nil {
		err = s.logDir.Close()
	}
	if !s.KeepLock {
		_ = flock(s.Dir, unix.LOCK_UN) // if it fails, the lock is only released later
	}
	return errors.Join(err, s.Dir.Close())
}

// OpenLocked opens DEST for a verb that changes it.
func OpenLocked(ctx context.Context, dest, verb string, wait time.Duration) (*Store, error) {
	s, err := Open(dest)
	if err != nil {
		return nil, err
	}
	if err := s.mayChange(); err != nil {
		return nil, fail.Step("DEST", errors.Join(err, s.Close()))
	}
	if err := s.lock(ctx, verb, wait); err != nil {
		return nil, fail.Step("lock", errors.Join(err, s.Close()))
	}
	return s, nil
}

// Now is t, or the current time if t is zero.
func Now(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}
