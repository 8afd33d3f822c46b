// Committing: the steps that turn pending into a backup. What each step makes durable was tested on Linux 6.18 with
// copies of a mounted image.

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

// WorkAction is how pending is made.
type WorkAction int

const (
	WorkCreate   WorkAction = iota // a new, empty subvolume
	WorkSnapshot                   // a writable snapshot of the base
	WorkResume                     // the pending of an earlier run
)

// Flush checks that all data has reached the disk. Only syncfs on a descriptor opened before the first write reports
// lost data, and only once; the snapshot ioctl succeeds even then.
func (s *Store) Flush() error {
	s.ahead.Wait()
	return btrfs.SyncFS(s.Dir)
}

// FlushAhead starts to write out what Flush will wait for, and calls do, which may flush again; Flush waits for both.
// Errors are left to Flush: the kernel reports them to each open file description (errseq_t), and this one is another.
func (s *Store) FlushAhead(do func(flush func())) {
	flush := func() {
		if dir, err := at.OpenDir(s.Dir, "."); err == nil {
			_ = btrfs.SyncFS(dir)
			_ = dir.Close() // nothing was written to it
		}
	}
	s.ahead.Go(flush)
	s.ahead.Go(func() { do(flush) })
}

// Publish snapshots pending, read-only, to a free name and returns that. The ioctl is atomic, durable with its data
// when it returns, and never replaces anything: if the name was taken meanwhile it returns EEXIST and the next name is
// tried. The record is written first, so that no backup exists without it: its data is on the disk, and its name gets
// there with the transaction of the snapshot, or with an earlier one. Waiting for its lock ends with ctx; a record left
// behind is removed by the next run.
func (s *Store) Publish(ctx context.Context, pending *os.File, n Naming, record facts.Record) (string, error) {
	for {
		record.Name = n.Name
		if err := s.changeRecord(ctx, s.PublishWait(), n.Name, func(*facts.Record) (*facts.Record, error) { return &record, nil }, synced); err != nil {
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

// SetCur points cur to name: a symlink of another name renamed over it, so that cur always exists and is complete; then
// fsync, without which a power cut can undo the rename.
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

// MakePending makes pending and opens it. base is the backup for WorkSnapshot.
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
