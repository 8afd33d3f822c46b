package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// View is one backup held open for reading. DEST is not locked and nothing is written to it, so a read-only mount is
// enough.
type View struct {
	Store *Store
	Snap  facts.Snapshot
	Root  *os.File
}

func OpenView(dest, ref string) (*View, error) {
	s, err := Open(dest)
	if err != nil {
		return nil, err
	}
	v := &View{Store: s}
	if err := v.open(ref); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return v, nil
}

func (v *View) open(ref string) error {
	st, err := v.Store.ReadState(time.Local)
	if err != nil {
		return fail.Step("read", err)
	}
	if v.Snap, err = st.Find(ref); err != nil {
		return fail.Step("find", err)
	}
	if v.Root, err = btrfs.OpenDirAt(v.Store.Dir, v.Snap.Name); err != nil {
		return fail.Step("open", v.Explain(err))
	}
	return nil
}

func (v *View) Close() error { return errors.Join(v.Root.Close(), v.Store.Close()) }

// Gone returns an error if the backup was deleted since it was opened. Its open files stay readable for a while, but
// entries are missing, so a reader must check this before it trusts a result.
func (v *View) Gone() error { return v.Store.Gone(v.Snap) }

func (s *Store) Gone(b facts.Snapshot) error {
	there, err := s.has(b)
	if err == nil && !there {
		err = fail.Kindf(facts.ErrBackupGone, "%s was %w", b.Name, facts.ErrBackupGone)
	}
	return err
}

// Explain returns ErrBackupGone instead of err if the backup was deleted.
func (v *View) Explain(err error) error {
	if err == nil {
		return nil
	}
	if gone := v.Gone(); errors.Is(gone, facts.ErrBackupGone) {
		return gone
	}
	return err
}

// BackupPath converts the user's path to a clean path below the root of a backup, "." for the root. A leading slash
// means the root of the backup. ".." is resolved lexically, as cd does, and cannot lead out.
func BackupPath(path string) (string, error) {
	switch {
	case path == "":
		return "", fail.Kindf(facts.ErrUsage, "the path is empty")
	case strings.ContainsRune(path, 0):
		return "", fail.Kindf(facts.ErrUsage, "%q contains a NUL byte", path)
	}
	rel := strings.TrimLeft(path, "/")
	if rel == "" {
		return ".", nil
	}
	if rel = filepath.Clean(rel); rel == ".." || strings.HasPrefix(rel, "../") {
		return "", fail.Kindf(facts.ErrUsage, "%q leads out of the backup", path)
	}
	return rel, nil
}

// Lookup opens path below the backup. Symlinks in the path are followed inside the backup: the kernel refuses absolute
// ones, those that lead out, and mount points (openat2, Linux 5.6).
func (v *View) Lookup(path string, flags uint64) (*os.File, error) {
	fd, err := at.Openat2(int(v.Root.Fd()), path, flags, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
	if err != nil {
		return nil, v.explainLookup(path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(v.Root.Name(), path)), nil
}

func (v *View) explainLookup(path string, err error) error {
	if gone := v.Gone(); errors.Is(gone, facts.ErrBackupGone) {
		return gone
	}
	switch {
	case err == unix.EXDEV:
		return fail.Kindf(facts.ErrNoPath, "%q in %s: a symlink in the path leads out of the backup", path, v.Snap.Name)
	case err == unix.ENOENT, err == unix.ENOTDIR:
		return fail.Kindf(facts.ErrNoPath, "%q is not in %s", path, v.Snap.Name)
	}
	return at.Error("open", v.Root, path, err)
}

// ExplainForeign distinguishes a missing backup from an entry that merely has a backup's name.
func ExplainForeign(st *State, ref string, err error) error {
	if slices.Contains(st.Hidden, ref) {
		return fail.Kindf(facts.ErrNoBackup, "%q is hidden by a mount and cannot be used as a backup: %w", ref, btrfs.ErrMountPoint)
	}
	if slices.Contains(st.Foreign, ref) {
		return fail.Kindf(facts.ErrNoBackup, "%q is not a backup (a backup is a subvolume with a date as its name)", ref)
	}
	return err
}

// InsidePath is BackupPath with "" for the root.
func InsidePath(p string) (string, error) {
	rel, err := BackupPath(p)
	if rel == "." {
		rel = ""
	}
	return rel, err
}
