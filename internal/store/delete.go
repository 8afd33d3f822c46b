package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
)

// A pinError is about a backup that is, or may be, pinned.
type pinError struct{ text string }

func (e *pinError) Error() string { return e.text }

// Unwrap returns ErrGuard.
func (e *pinError) Unwrap() error { return facts.ErrGuard }

func PinnedError(name string, r *facts.Record) error {
	switch {
	case r == nil || r.Pin == nil:
		return &pinError{name + " has no readable record, so it may be pinned"}
	case r.Pin.Note != "":
		return &pinError{name + " is pinned: " + r.Pin.Note}
	}
	return &pinError{name + " is pinned"}
}

// Locked is DEST opened, locked, read and repaired for a verb other than backup.
type Locked struct {
	Store   *Store
	State   *State
	Sink    *ActivityLog
	Log     *slog.Logger
	Repairs []string
	Now     time.Time
}

// Change runs act on a DEST it has locked and repaired, with the log open. On a full disk deleting frees space: repairs
// that fail for lack of space are done after act.
func Change(ctx context.Context, dest, verb string, wait time.Duration, now time.Time, logger *slog.Logger, act func(*Locked) error) (err error) {
	s, err := OpenLocked(ctx, dest, verb, wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.LockWait = wait
	sink, log, err := s.OpenLog(logger)
	if err != nil {
		return err
	}
	defer CloseLog(sink, logger)
	c := &Locked{Store: s, Sink: sink, Log: log, Now: Now(now)}
	unrepaired, err := c.readAndRepair(ctx)
	if err != nil {
		return err
	}
	err = act(c)
	if unrepaired != nil {
		err = errors.Join(err, c.repairAtLast(ctx))
	}
	if err != nil {
		c.Log.Error(verb+" failed", "error", err)
	}
	return err
}

// readAndRepair returns as unrepaired the errors of repairs that failed only because the disk is full.
func (c *Locked) readAndRepair(ctx context.Context) (unrepaired, err error) {
	if c.State, err = c.Store.ReadState(c.Now.Location()); err != nil {
		return nil, fail.Step("read", err)
	}
	c.Repairs, err = c.Store.Repair(ctx, c.State, c.Now, c.Log)
	if fail.IsFull(err) {
		c.Log.Warn("repairs are postponed, because the disk is full", "error", err)
		return err, nil
	}
	return nil, fail.Step("repair", err)
}

func (c *Locked) repairAtLast(ctx context.Context) error {
	if _, err := btrfs.WaitDeleted(ctx, c.Store.Dir); err != nil {
		return fail.Step("wait for space", err)
	}
	unrepaired, err := c.readAndRepair(ctx)
	return errors.Join(err, fail.Step("repair", unrepaired))
}

// Removal are the options of DeleteAll.
type Removal struct {
	Force bool // pins are ignored
	// Spared, if set, is called with a backup that was pinned after it was chosen; without it that is an error.
	Spared   func(facts.Snapshot)
	Progress func(done, total int)
}

// DeleteAll deletes backups in the given order and returns the names of the deleted ones. If one cannot be deleted, the
// others still are.
//
// It does not wait for a commit, because the order is correct without: the kernel commits a deletion together with the
// removal of its record or before it, unless somebody fsyncs the records; see WritePin. Starting a commit without
// waiting (BTRFS_IOC_START_SYNC) may block for up to 30 s while another commit is written (Linux 6.18).
func (c *Locked) DeleteAll(ctx context.Context, doomed []facts.Snapshot, how Removal) ([]string, error) {
	// One lock for all of them: taking it for each backup costs as much time as deleting one. It is taken before
	// anything is changed, because waiting for it may fail.
	records, err := c.Store.lockRecords(ctx, true)
	if err != nil && !fail.IsFull(err) { // without space for their directory there are no records
		return nil, fail.Step("delete", err)
	}
	if records != nil {
		defer records.Close()
	}
	moved, err := c.moveCur(doomed)
	if err != nil {
		return nil, err
	}
	if len(doomed) > 0 {
		// All names in one line, because lines that are held are lost in a kill.
		c.Log.Info("deleting", "backups", BackupNames(doomed))
	}
	defer c.Sink.hold()()
	var gone []string
	var errs []error
	for i, b := range doomed {
		if ctx.Err() != nil {
			errs = append(errs, fail.Step("delete", context.Cause(ctx)))
			break
		}
		err, lost := c.Store.deleteBackup(ctx, records, b, c.State.recordRead[b.Name], how.Force)
		var pinned *pinError
		switch {
		case err == nil:
			c.Log.Info("deleted", "backup", b.Name)
			gone = append(gone, b.Name)
		case errors.As(err, &pinned) && how.Spared != nil:
			c.Log.Warn("not deleted: it was pinned meanwhile", "backup", b.Name)
			how.Spared(b)
		default:
			c.Log.Error("not deleted", "backup", b.Name, "error", err)
			errs = append(errs, fail.Step("delete", err))
		}
		if how.Progress != nil {
			how.Progress(i+1, len(doomed))
		}
		if lost != nil {
			errs = append(errs, fail.Step("delete", lost))
			records = nil // the remaining records are repaired later
			break
		}
	}
	if moved != nil && !slices.Contains(gone, moved.Name) {
		errs = append(errs, fail.Step("point cur to "+moved.Name, c.pointBack(moved.Name)))
	}
	// A record whose backup was not completely deleted, or that is left by a crash here, is repaired like any record
	// without a backup.
	if err := removeRecords(records, gone); err != nil {
		c.Log.Error("the records of deleted backups could not be removed", "error", err)
		errs = append(errs, fail.Step("delete", err))
	}
	return gone, fail.Several(errs)
}

func BackupNames(backups []facts.Snapshot) []string {
	list := make([]string, len(backups))
	for i, b := range backups {
		list[i] = b.Name
	}
	return list
}

// moveCur points cur to the newest complete backup that is kept, before the one it names is deleted, and returns the
// latter.
func (c *Locked) moveCur(doomed []facts.Snapshot) (from *facts.Snapshot, err error) {
	going := make(map[string]bool, len(doomed))
	for _, b := range doomed {
		going[b.Name] = true
	}
	newest := c.State.NewestComplete()
	if newest == nil || !going[newest.Name] || c.State.CurHidden() {
		return nil, nil
	}
	var staying []facts.Snapshot
	for _, b := range c.State.Backups {
		if !going[b.Name] {
			staying = append(staying, b)
		}
	}
	if next := NewestComplete(staying); next != nil {
		return newest, fail.Step("point cur to "+next.Name, c.Store.SetCur(next.Name))
	}
	return newest, fail.Step("remove cur", at.IgnoreNotExist(at.Unlink(c.Store.Dir, CurName, 0)))
}

// pointBack undoes moveCur for a backup that was not deleted.
func (c *Locked) pointBack(name string) error {
	info, err := c.Store.subvolumeAt(name)
	if err != nil || info == nil {
		return err
	}
	return c.Store.SetCur(name)
}

// deleteBackup removes one backup, but not its record. The pin is read here, under the lock of the records that pinning
// takes too, so that every earlier pin counts. The lock is released during a long deletion; lost is why it could not be
// reacquired, and then nothing else may be deleted.
func (s *Store) deleteBackup(ctx context.Context, records *os.File, b facts.Snapshot, read at.Stamp, force bool) (err, lost error) {
	if !force {
		if err := checkPin(records, b, read); err != nil {
			return err, nil
		}
	}
	trash, err := s.unpublish(b)
	if btrfs.IsDamage(err) {
		err = s.deleteByID(b, err)
	}
	if err != nil || trash == "" {
		return err, nil
	}
	if records == nil {
		return subvol.Remove(ctx, s.Dir, trash), nil
	}
	if err := flock(records, unix.LOCK_UN); err != nil {
		return err, nil
	}
	return subvol.Remove(ctx, s.Dir, trash), s.flockRecords(ctx, cmp.Or(s.LockWait, recordsWait), records)
}

// checkPin reads the record again, unless its file has not changed since b was read.
func checkPin(records *os.File, b facts.Snapshot, read at.Stamp) error {
	if records != nil && b.Record != nil && b.Record.Pin == nil {
		st, err := at.Stat(records, b.Name+recordSuffix)
		if err == nil && at.StampOf(st) == read {
			return nil
		}
	}
	r, err := readRecord(records, b.Name)
	if err != nil || r != nil && r.Pin != nil {
		return errors.Join(PinnedError(b.Name, r), err)
	}
	return nil
}

// unpublish deletes a backup with one ioctl. If that is not possible (it has nested subvolumes, or the caller is not
// root), it gives the backup a name that no backup can have, and returns it: even if the rest is interrupted, no partly
// deleted backup is listed. A backup that the caller may not empty keeps its name.
func (s *Store) unpublish(b facts.Snapshot) (trash string, err error) {
	err = btrfs.DeleteSubvolume(s.Dir, b.Name)
	switch {
	case errors.Is(err, unix.ENOTEMPTY), subvol.Refused(err) && !subvol.Privileged(s.Dir):
		if err := subvol.MayEmpty(s.Dir, b.Name); err != nil {
			return "", err
		}
		trash = trashName(b.Name, b.UUID)
		return trash, at.Rename(s.Dir, b.Name, trash)
	case subvol.Refused(err):
		return "", fmt.Errorf("%w (is it being sent, the default subvolume, or does it hold a swap file?)", err)
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	}
	return "", err
}

// deleteByID is for a subvolume that cannot be found by name. Linux 6.18 reads its root directory here too, so it helps
// only if the name is damaged.
func (s *Store) deleteByID(b facts.Snapshot, byName error) error {
	err := btrfs.DeleteSubvolumeByID(s.Dir, b.ID)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case btrfs.IsDamage(err):
		return fail.Kindf(facts.ErrDamaged, "%s: its root directory is damaged, so the kernel can delete it neither by name nor by its id, %d; it stays, and nothing else depends on it: %w", b.Name, b.ID, byName)
	}
	return errors.Join(byName, err)
}

// CheckUnchanged makes sure that the name still belongs to the chosen backup. Users who delete or rename backups by
// hand take no lock.
func (s *Store) CheckUnchanged(b facts.Snapshot) error {
	info, err := s.subvolumeAt(b.Name)
	if err != nil || info == nil || info.ID == b.ID {
		return err
	}
	return fail.Kindf(facts.ErrNoBackup, "%s was replaced by another subvolume meanwhile", b.Name)
}
