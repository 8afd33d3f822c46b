// Committing: the steps that turn pending into a backup. What each step makes
// durable was tried out on Linux 6.18 with copies of a mounted image.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// workAction is how pending comes to be.
type workAction int

const (
	workCreate   workAction = iota // a new, empty subvolume
	workSnapshot                   // a writable snapshot of the base
	workResume                     // what a run before left
)

// flush asks whether the disk took all the data. syncfs on a descriptor that
// was open before the first write is the only call that tells, and it tells
// once; the snapshot ioctl succeeds over data that was lost.
func (s *store) flush() error { return btrfs.SyncFS(s.dir) }

// publish snapshots pending, read-only, to a free name and returns that. The ioctl is
// atomic, durable with its data when it returns, and never replaces anything:
// a name that was taken meanwhile gives EEXIST and the next one is tried. The
// record is written first, so that no backup ever stands without it. Waiting for
// its lock ends with ctx; a record that stays for that is removed by the next run.
func (s *store) publish(ctx context.Context, pending *os.File, n naming, record Record) (string, error) {
	for {
		record.Name = n.name
		if err := s.changeRecord(ctx, s.patience(), n.name, func(*Record) (*Record, error) { return &record, nil }); err != nil {
			return "", err
		}
		err := btrfs.CreateSnapshot(s.dir, n.name, pending, btrfs.SnapshotOptions{ReadOnly: true})
		if err == nil {
			return n.name, nil
		}
		if forget := s.forget(ctx, []string{n.name}); forget != nil || !errors.Is(err, fs.ErrExist) {
			return "", errors.Join(err, forget)
		}
		n = n.next()
	}
}

// setCur points cur to name: a symlink of another name renamed over it, so
// that cur is never absent and never half a link, then fsync, without which
// the rename is lost in a power cut.
func (s *store) setCur(name string) error {
	if err := ignoreNotExist(unlinkAt(s.dir, curNextName, 0)); err != nil {
		return err
	}
	if err := symlinkAt(name, s.dir, curNextName); err != nil {
		return err
	}
	if err := renameAt(s.dir, curNextName, curName); err != nil {
		return errors.Join(err, ignoreNotExist(unlinkAt(s.dir, curNextName, 0)))
	}
	return fsyncDir(s.dir)
}

// makePending brings pending into being and opens it. base is the backup that workSnapshot takes it from.
func (s *store) makePending(work workAction, base string) (*os.File, error) {
	switch work {
	case workCreate:
		if err := btrfs.CreateSubvolume(s.dir, s.pendingName()); err != nil {
			return nil, err
		}
	case workSnapshot:
		base, err := btrfs.OpenDirAt(s.dir, base)
		if err != nil {
			return nil, err
		}
		err = btrfs.CreateSnapshot(s.dir, s.pendingName(), base, btrfs.SnapshotOptions{})
		if err := errors.Join(err, base.Close()); err != nil {
			return nil, err
		}
	}
	pending, err := btrfs.OpenDirAt(s.dir, s.pendingName())
	if err != nil {
		return nil, err
	}
	if work == workCreate {
		// The mode of a new subvolume depends on the caller's umask, which a
		// library must not change: nothing is in it yet.
		if err := unix.Fchmod(int(pending.Fd()), 0o700); err != nil {
			return nil, errors.Join(atError("chmod", pending, "", err), pending.Close())
		}
	}
	return pending, nil
}
