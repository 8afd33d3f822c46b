package freeze

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
)

// Remove removes the snapshot, if there is one, and closes the source.
func (s *Snapshot) Remove(ctx context.Context) error {
	if s == nil {
		return nil
	}
	var err error
	if s.name != "" {
		err = keepTime(s.home, s.name, func() error { return subvol.Remove(ctx, s.home, s.name) })
	}
	if s.held != nil {
		err = errors.Join(err, s.held.Close())
	}
	return errors.Join(err, s.home.Close())
}

// sweep removes the snapshots of crashed runs: those with our kind of name, of this subvolume, and without a lock.
func (s *Snapshot) sweep(ctx context.Context, home btrfs.UUID, log *slog.Logger) error {
	names, err := at.Names(s.home)
	if err != nil {
		return fail.Kind(facts.ErrSource, err)
	}
	for _, name := range names {
		if !source.IsSnapshotName(name, home) {
			continue
		}
		dead, err := isDead(s.home, name, home)
		if err == nil && dead {
			err = keepTime(s.home, name, func() error { return subvol.Remove(ctx, s.home, name) })
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			log.Warn("a snapshot of SRC that an earlier run had left cannot be removed", "name", name, "error", err)
		case dead:
			log.Warn("repaired", "what", "removed a snapshot of SRC that an earlier run had left", "name", name)
		}
	}
	return nil
}

// isDead reports whether name is a snapshot of home that no run uses.
func isDead(dir *os.File, name string, home btrfs.UUID) (bool, error) {
	snap, err := btrfs.OpenDirAt(dir, name)
	if err != nil {
		return false, err
	}
	defer snap.Close()
	info, err := btrfs.SubvolumeInfo(snap)
	if errors.Is(err, btrfs.ErrNotSubvolume) || err == nil && info.ParentUUID != home {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = flock(snap, unix.LOCK_EX|unix.LOCK_NB)
	used := errors.Is(err, unix.EWOULDBLOCK)
	if used {
		err = nil
	}
	return !used, err
}

const (
	lockWait = time.Minute
	lockPoll = 50 * time.Millisecond
)

// lockHome keeps other runs from removing a snapshot that has no lock yet. It is held only briefly.
func (s *Snapshot) lockHome(ctx context.Context) error {
	for deadline := time.Now().Add(lockWait); ; {
		err := flock(s.home, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return fail.Kindf(facts.ErrLocked, "%s is locked by another program", s.home.Name())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

func flock(f *os.File, how int) error {
	return at.Error("flock", f, "", at.Retry(func() error { return unix.Flock(int(f.Fd()), how) }))
}

// keepTime restores the time of the directory in which ours is created or removed, unless somebody else has changed the
// directory meanwhile. Without the right to do so the time stays changed.
func keepTime(home *os.File, ours string, do func() error) error {
	st, err := at.StatFile(home)
	before, namesErr := namesBut(home, ours)
	if err := do(); err != nil {
		return err
	}
	if after, afterErr := namesBut(home, ours); errors.Join(err, namesErr, afterErr) == nil && slices.Equal(before, after) {
		_ = setTimes(home, st)
	}
	return nil
}

func namesBut(dir *os.File, name string) ([]string, error) {
	names, err := at.Names(dir)
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return n == name }), err
}

// cannot explains why the kernel has refused a snapshot.
func cannot(of *os.File, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return refused("only root and the owner of %s can make a snapshot of it: %w", of.Name(), err)
	case errors.Is(err, unix.EROFS):
		return refused("%s is mounted read-only, so no snapshot can be made in it: %w", of.Name(), err)
	}
	return fail.Kind(facts.ErrSource, err)
}
