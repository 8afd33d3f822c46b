// The store: DEST held open. Everything below it is reached through its two
// descriptors, resolved once.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

type store struct {
	path string   // DEST without symlinks, for messages and to tell an overlap with the source
	dir  *os.File // DEST; carries the lock, and sees for syncfs every write error from here on
	log  *os.File // DEST/.log
	// pendingAt is what pending is called, as far as that is known: another name
	// where what stands under the first can not even be renamed.
	pendingAt string
	// lockWait is how long to wait for the lock of the records; 0 is as long as
	// usual.
	lockWait time.Duration
	// waiting, if set, is called when that begins.
	waiting func(time.Duration)
	// keepLock is set when an rsync of ours lives on: the lock it inherited
	// must outlive us.
	keepLock bool
}

// absolute makes a path absolute without changing what it names: above a
// symlink, "link/.." is not the directory link is in, as filepath.Clean has it.
func absolute(path string) (string, error) {
	if !filepath.IsAbs(path) {
		wd, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = wd + "/" + path
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return filepath.EvalSymlinks(path)
	}
	return filepath.Clean(path), nil
}

// absoluteNew is absolute for what need not be there yet.
func absoluteNew(path string) (string, error) {
	whole, err := absolute(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return whole, err
	}
	dir, name := filepath.Split(strings.TrimRight(path, "/")) // filepath.Dir would clean it
	if name == "." || name == ".." {
		return "", err
	}
	dir, err = absolute(dir)
	return filepath.Join(dir, name), err
}

// openDest opens DEST and checks it is on btrfs.
func openDest(dest string) (*os.File, error) {
	if dest == "" {
		return nil, failf(ErrUsage, "open DEST: the path is empty")
	}
	path, err := absolute(dest)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return nil, kindError{ErrDest, &fs.PathError{Op: "open", Path: missing.Path, Err: missing.Err}}
	}
	if err != nil {
		return nil, kindError{ErrDest, err}
	}
	dir, err := btrfs.OpenDir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, kindError{ErrDest, err}
	}
	return dir, err
}

// openStore opens an initialised DEST.
func openStore(dest string) (*store, error) {
	dir, err := openDest(dest)
	if err != nil {
		return nil, step("DEST", err)
	}
	s := &store{path: dir.Name(), dir: dir}
	if err := s.openLogDir(); err != nil {
		return nil, step("DEST", errors.Join(err, s.close()))
	}
	return s, nil
}

// openLogDir opens .log and checks the marker in it. A symlink under either
// name is refused: whoever could plant it must not choose where we write.
func (s *store) openLogDir() error {
	log, err := openDirAt(s.dir, logDirName)
	if errors.Is(err, fs.ErrNotExist) {
		return failf(ErrNotInitialized, "%s is %w", s.path, ErrNotInitialized)
	}
	if err != nil {
		return err
	}
	s.log = log
	st, err := statAt(log, markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return failf(ErrNotInitialized, "%s is %w", s.path, ErrNotInitialized)
	}
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return atError("open", log, markerName, errors.New("not a regular file"))
	}
	return nil
}

// close releases the lock, too. Closing alone would not do at once: a child
// that another goroutine is just starting holds a copy of every descriptor
// until it has executed its program.
func (s *store) close() error {
	var err error
	if s.log != nil {
		err = s.log.Close()
	}
	if !s.keepLock {
		_ = flock(s.dir, unix.LOCK_UN) // failing, it only lets go a moment later
	}
	return errors.Join(err, s.dir.Close())
}

// openLocked opens DEST for a verb that changes it.
func openLocked(ctx context.Context, dest, verb string, wait time.Duration) (*store, error) {
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	if err := s.lock(ctx, verb, wait); err != nil {
		return nil, step("lock", errors.Join(err, s.close()))
	}
	return s, nil
}
