// Committing: the steps that turn pending into a backup. What each step makes
// durable was tried out on Linux 6.18 with copies of a mounted image.

package store

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// WorkAction is how pending comes to be.
type WorkAction int

const (
	WorkCreate   WorkAction = iota // a new, empty subvolume
	WorkSnapshot                   // a writable snapshot of the base
	WorkResume                     // what a run before left
)

// Flush asks whether the disk took all the data. syncfs on a descriptor that
// was open before the first write is the only call that tells, and it tells
// once; the snapshot ioctl succeeds over data that was lost.
func (s *Store) Flush() error { return btrfs.SyncFS(s.Dir) }

// Publish snapshots pending, read-only, to a free name and returns that. The ioctl is
// atomic, durable with its data when it returns, and never replaces anything:
// a name that was taken meanwhile gives EEXIST and the next one is tried. The
// record is written first, so that no backup ever stands without it. Waiting for
// its lock ends with ctx; a record that stays for that is removed by the next run.
func (s *Store) Publish(ctx context.Context, pending *os.File, n Naming, record facts.Record) (string, error) {
	for {
		record.Name = n.Name
		if err := s.changeRecord(ctx, s.Patience(), n.Name, func(*facts.Record) (*facts.Record, error) { return &record, nil }); err != nil {
			return "", err
		}
		err := btrfs.CreateSnapshot(s.Dir, n.Name, pending, btrfs.SnapshotOptions{ReadOnly: true})
		if err == nil {
			return n.Name, nil
		}
		if forget := s.forget(ctx, []string{n.Name}); forget != nil || !errors.Is(err, fs.ErrExist) {
			return "", errors.Join(err, forget)
		}
		n = n.Next()
	}
}

// SetCur points cur to name: a symlink of another name renamed over it, so
// that cur is never absent and never half a link, then fsync, without which
// the rename is lost in a power cut.
func (s *Store) SetCur(name string) error {
	if err := at.IgnoreNotExist(at.Unlink(s.Dir, curNextName, 0)); err != nil {
		return err
	}
	if err := at.Symlink(name, s.Dir, curNextName); err != nil {
		return err
	}
	if err := at.Rename(s.Dir, curNextName, CurName); err != nil {
		return errors.Join(err, at.IgnoreNotExist(at.Unlink(s.Dir, curNextName, 0)))
	}
	return at.FsyncDir(s.Dir)
}

// MakePending brings pending into being and opens it. base is the backup that workSnapshot takes it from.
func (s *Store) MakePending(work WorkAction, base string) (*os.File, error) {
	switch work {
	case WorkCreate:
		if err := btrfs.CreateSubvolume(s.Dir, s.PendingName()); err != nil {
			return nil, err
		}
	case WorkSnapshot:
		base, err := btrfs.OpenDirAt(s.Dir, base)
		if err != nil {
			return nil, err
		}
		err = btrfs.CreateSnapshot(s.Dir, s.PendingName(), base, btrfs.SnapshotOptions{})
		if err := errors.Join(err, base.Close()); err != nil {
			return nil, err
		}
	}
	pending, err := btrfs.OpenDirAt(s.Dir, s.PendingName())
	if err != nil {
		return nil, err
	}
	if work == WorkCreate {
		// The mode of a new subvolume depends on the caller's umask, which a
		// library must not change: nothing is in it yet.
		if err := unix.Fchmod(int(pending.Fd()), 0o700); err != nil {
			return nil, errors.Join(at.Error("chmod", pending, "", err), pending.Close())
		}
	}
	return pending, nil
}
