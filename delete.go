// Delete: taking single backups away, and the one path by which every backup
// goes, whichever verb asked for it.

package rsbtbackup

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

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// DeleteOptions are the options of Delete. The zero value is usable.
type DeleteOptions struct {
	// Force deletes pinned backups, the newest, and the newest complete one too.
	Force bool
	// Wait returns only when the space of what was deleted is free again.
	Wait bool

	// DryRun reports what would be deleted, and the space that would free, and
	// changes nothing.
	DryRun   bool
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
	// Progress is called after each deletion.
	Progress func(done, total int)
}

// DeleteReport says what Delete did.
type DeleteReport struct {
	Dest    string   `json:"dest"`
	DryRun  bool     `json:"dry_run"`
	Deleted []string `json:"deleted"` // in a dry run, what would be
	// Frees is the file data, in bytes, that goes with all of them. It is nil
	// without root, with a backup hidden by a mount, and outside a dry run.
	Frees   *uint64  `json:"frees,omitempty"`
	Repairs []string `json:"repairs,omitempty"`
}

// Delete removes the backups that refs name: full names, unique prefixes,
// "latest" or "latest~N". All are looked up before the first is deleted. The
// owner of the backups and root may do this.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrGuard (pinned, the newest, or the
// newest complete backup, without Force), or what opening and locking DEST gives. The
// report is valid with any error.
func Delete(ctx context.Context, dest string, refs []string, o DeleteOptions) (*DeleteReport, error) {
	report := &DeleteReport{Dest: dest, DryRun: o.DryRun}
	if len(refs) == 0 {
		return report, step("options", failf(ErrUsage, "no backup is named"))
	}
	if o.DryRun {
		return report, planDelete(ctx, dest, refs, o, report)
	}
	err := change(ctx, dest, "delete", o.LockWait, o.Now, o.Logger, func(c *changing) error {
		report.Dest, report.Repairs = c.store.path, c.repairs
		doomed, err := findDoomed(c.state, refs, o)
		if err != nil {
			return err
		}
		report.Deleted, err = c.deleteAll(ctx, doomed, removal{force: o.Force, progress: o.Progress})
		if err == nil && o.Wait && len(report.Deleted) > 0 {
			err = c.waitForSpace(ctx, doomed)
		}
		return err
	})
	return report, err
}

// planDelete reads DEST without locking or changing it.
func planDelete(ctx context.Context, dest string, refs []string, o DeleteOptions, report *DeleteReport) error {
	s, err := openStore(dest)
	if err != nil {
		return err
	}
	defer s.close()
	report.Dest = s.path
	st, err := s.readState(time.Local)
	if err != nil {
		return step("read", err)
	}
	doomed, err := findDoomed(st, refs, o)
	if err != nil {
		return err
	}
	decisions := keepAll(st.backups)
	for _, b := range doomed {
		if b.Unreadable == "" {
			mark(decisions, b.Name)
		}
	}
	frees, known, err := (&measurer{store: s, hidden: st.hidden}).total(ctx, decisions)
	if err != nil {
		return step("measure", err)
	}
	report.Deleted = backupNames(doomed)
	known = known && !slices.ContainsFunc(doomed, func(b Snapshot) bool { return b.Unreadable != "" })
	if known {
		report.Frees = &frees
	}
	return nil
}

func findDoomed(st *state, refs []string, o DeleteOptions) ([]Snapshot, error) {
	doomed, err := findAll(st, refs)
	if err == nil && !o.Force {
		return doomed, step("guard", checkDoomed(doomed, st))
	}
	return doomed, step("find", err)
}

func findAll(st *state, refs []string) ([]Snapshot, error) {
	var found []Snapshot
	seen := map[string]bool{}
	for _, ref := range refs {
		b, err := find(st.all(), ref)
		if err != nil {
			return nil, explainForeign(st, ref, err)
		}
		if !seen[b.Name] {
			seen[b.Name] = true
			found = append(found, b)
		}
	}
	return found, nil
}

// explainForeign tells a missing backup from something that merely is called
// like one.
func explainForeign(st *state, ref string, err error) error {
	if slices.Contains(st.hidden, ref) {
		return failf(ErrNoBackup, "%q is not a backup as long as it is hidden: %w", ref, btrfs.ErrMountPoint)
	}
	if slices.Contains(st.foreign, ref) {
		return failf(ErrNoBackup, "%q is not a backup (a backup is a subvolume with a date as its name)", ref)
	}
	return err
}

// checkDoomed is pure. The newest of all is the base of the next backup, and
// stands in where none is complete; the newest complete one is what there is to
// restore.
func checkDoomed(doomed []Snapshot, st *state) error {
	all := st.all()
	newest, complete := &all[len(all)-1], st.newestComplete()
	for _, b := range doomed {
		switch {
		case b.Pinned():
			return pinnedError(b.Name, b.Record)
		case complete != nil && b.Name == complete.Name:
			return failf(ErrGuard, "%s is the newest complete backup", b.Name)
		case b.Name == newest.Name, st.newest() != nil && b.Name == st.newest().Name:
			return failf(ErrGuard, "%s is the newest backup", b.Name)
		}
	}
	return nil
}

// A pinError is about a backup that is, or may be, pinned.
type pinError struct{ text string }

func (e *pinError) Error() string { return e.text }

// Unwrap files it under ErrGuard.
func (e *pinError) Unwrap() error { return ErrGuard }

func pinnedError(name string, r *Record) error {
	switch {
	case r == nil || r.Pin == nil:
		return &pinError{name + " has no record of its run, or none that can be read, so it may be pinned"}
	case r.Pin.Note != "":
		return &pinError{name + " is pinned: " + r.Pin.Note}
	}
	return &pinError{name + " is pinned"}
}

// changing is DEST opened, locked, read and repaired for a verb other than
// backup.
type changing struct {
	store   *store
	state   *state
	sink    *activityLog
	log     *slog.Logger
	repairs []string
	now     time.Time
}

// change runs act on a DEST it has locked and repaired, with the log open. On
// a full disk deleting is the cure: what can not be repaired for want of space
// is put off until act has made room.
func change(ctx context.Context, dest, verb string, wait time.Duration, now time.Time, logger *slog.Logger, act func(*changing) error) (err error) {
	s, err := openLocked(ctx, dest, verb, wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.lockWait = wait
	if now.IsZero() {
		now = time.Now()
	}
	sink, log, err := s.openLog(logger)
	if err != nil {
		return err
	}
	defer closeLog(sink, logger)
	c := &changing{store: s, sink: sink, log: log, now: now}
	unrepaired, err := c.readAndRepair(ctx)
	if err != nil {
		return err
	}
	err = act(c)
	if unrepaired != nil {
		err = errors.Join(err, c.repairAtLast(ctx))
	}
	if err != nil {
		c.log.Error(verb+" failed", "error", err)
	}
	return err
}

// readAndRepair returns as unrepaired what only a full disk prevented.
func (c *changing) readAndRepair(ctx context.Context) (unrepaired, err error) {
	if c.state, err = c.store.readState(c.now.Location()); err != nil {
		return nil, step("read", err)
	}
	c.repairs, err = c.store.repair(ctx, c.state, c.now, c.log)
	if isFull(err) {
		c.log.Warn("not repaired yet", "error", err)
		return err, nil
	}
	return nil, step("repair", err)
}

func (c *changing) repairAtLast(ctx context.Context) error {
	if _, err := btrfs.WaitDeleted(ctx, c.store.dir); err != nil {
		return step("wait for space", err)
	}
	unrepaired, err := c.readAndRepair(ctx)
	return errors.Join(err, step("repair", unrepaired))
}

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// removal says how deleteAll goes about it.
type removal struct {
	force bool // pins do not count
	// spared, if set, is told of a backup that was pinned after it was chosen;
	// without it that is an error.
	spared   func(Snapshot)
	progress func(done, total int)
}

// deleteAll deletes backups in the order given and returns the names of those
// that are gone. One that can not be deleted does not save the others.
//
// Nothing waits for a commit, as the order of things is right without: the
// kernel commits a deletion with the removal of its record or before it, unless
// someone fsyncs the records; see writePin. To start a commit and leave
// (BTRFS_IOC_START_SYNC) is not safe: while another one is being written it
// hangs for up to 30 s (Linux 6.18).
func (c *changing) deleteAll(ctx context.Context, doomed []Snapshot, how removal) ([]string, error) {
	// One lock for all of them: to take it anew for each costs as much time
	// as to delete one. It comes before anything is changed, as waiting for it
	// may be in vain.
	records, err := c.store.lockRecords(ctx, true)
	if err != nil && !isFull(err) { // with no room for their directory there are none
		return nil, step("delete", err)
	}
	if records != nil {
		defer records.Close()
	}
	moved, err := c.moveCur(doomed)
	if err != nil {
		return nil, err
	}
	if len(doomed) > 0 {
		// All at once, as a kill takes along the lines that are held.
		c.log.Info("deleting", "backups", backupNames(doomed))
	}
	defer c.sink.hold()()
	var gone []string
	var errs []error
	for i, b := range doomed {
		if ctx.Err() != nil {
			errs = append(errs, step("delete", context.Cause(ctx)))
			break
		}
		err, lost := c.store.deleteBackup(ctx, records, b, c.state.recordRead[b.Name], how.force)
		var pinned *pinError
		switch {
		case err == nil:
			c.log.Info("deleted", "backup", b.Name)
			gone = append(gone, b.Name)
		case errors.As(err, &pinned) && how.spared != nil:
			c.log.Warn("not deleted: it was pinned meanwhile", "backup", b.Name)
			how.spared(b)
		default:
			c.log.Error("not deleted", "backup", b.Name, "error", err)
			errs = append(errs, step("delete", err))
		}
		if how.progress != nil {
			how.progress(i+1, len(doomed))
		}
		if lost != nil {
			errs = append(errs, step("delete", lost))
			records = nil // what it still has of these is repaired
			break
		}
	}
	if moved != nil && !slices.Contains(gone, moved.Name) {
		errs = append(errs, step("point cur to "+moved.Name, c.pointBack(moved.Name)))
	}
	// A record whose backup was not deleted to its end, or that a run which dies
	// here leaves behind, is repaired like any record without a backup.
	if err := removeRecords(records, gone); err != nil {
		c.log.Error("not forgotten", "error", err)
		errs = append(errs, step("delete", err))
	}
	return gone, errors.Join(errs...)
}

func backupNames(backups []Snapshot) []string {
	list := make([]string, len(backups))
	for i, b := range backups {
		list[i] = b.Name
	}
	return list
}

// moveCur lets cur name the newest complete backup that stays, before the one
// it names is deleted, which is returned.
func (c *changing) moveCur(doomed []Snapshot) (from *Snapshot, err error) {
	going := make(map[string]bool, len(doomed))
	for _, b := range doomed {
		going[b.Name] = true
	}
	newest := c.state.newestComplete()
	if newest == nil || !going[newest.Name] || c.state.curHidden() {
		return nil, nil
	}
	var staying []Snapshot
	for _, b := range c.state.backups {
		if !going[b.Name] {
			staying = append(staying, b)
		}
	}
	if next := newestComplete(staying); next != nil {
		return newest, step("point cur to "+next.Name, c.store.setCur(next.Name))
	}
	return newest, step("remove cur", ignoreNotExist(unlinkAt(c.store.dir, curName, 0)))
}

// pointBack undoes moveCur for a backup that is whole after all.
func (c *changing) pointBack(name string) error {
	info, err := c.store.subvolumeAt(name)
	if err != nil || info == nil {
		return err
	}
	return c.store.setCur(name)
}

// deleteBackup removes one backup, but not its record. The pin is read here,
// under the lock of the records that pinning takes, so a pin set at any moment
// before counts. The lock is let go while a deletion takes long; lost is why it
// could not be had back, without which nothing else may be deleted.
func (s *store) deleteBackup(ctx context.Context, records *os.File, b Snapshot, read stamp, force bool) (err, lost error) {
	if !force {
		if err := checkPin(records, b, read); err != nil {
			return err, nil
		}
	}
	trash, err := s.unpublish(b.Name)
	if btrfs.IsDamage(err) {
		err = s.deleteByID(b, err)
	}
	if err != nil || trash == "" {
		return err, nil
	}
	if records == nil {
		return removeSubvolume(ctx, s.dir, trash), nil
	}
	if err := flock(records, unix.LOCK_UN); err != nil {
		return err, nil
	}
	return removeSubvolume(ctx, s.dir, trash), s.flockRecords(ctx, cmp.Or(s.lockWait, recordsWait), records)
}

// checkPin reads the record again, unless its file still is as it was when b was read.
func checkPin(records *os.File, b Snapshot, read stamp) error {
	if records != nil && b.Record != nil && b.Record.Pin == nil {
		st, err := statAt(records, b.Name+recordSuffix)
		if err == nil && stampOf(st) == read {
			return nil
		}
	}
	r, err := readRecord(records, b.Name)
	if err != nil || r != nil && r.Pin != nil {
		return errors.Join(pinnedError(b.Name, r), err)
	}
	return nil
}

// unpublish takes a backup away at once. One that a single ioctl can not delete
// (subvolumes are nested in it, or the caller is not root) gets a name that is
// no backup's, which is returned: whatever interrupts the rest, nothing half
// deleted is listed. What the caller may not empty keeps its name.
func (s *store) unpublish(name string) (trash string, err error) {
	err = btrfs.DeleteSubvolume(s.dir, name)
	switch {
	case errors.Is(err, unix.ENOTEMPTY), refused(err) && !privileged(s.dir):
		if err := mayEmpty(s.dir, name); err != nil {
			return "", err
		}
		trash = trashPrefix + name
		return trash, renameAt(s.dir, name, trash)
	case refused(err):
		return "", fmt.Errorf("%w (is it being sent, the default subvolume, or does it hold a swap file?)", err)
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	}
	return "", err
}

// deleteByID is for a subvolume whose name leads nowhere. Linux 6.18 reads its root
// directory here too, so it helps where the name is what is damaged.
func (s *store) deleteByID(b Snapshot, byName error) error {
	err := btrfs.DeleteSubvolumeByID(s.dir, b.ID)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case btrfs.IsDamage(err):
		return failf(ErrDamaged, "%s: its root directory is damaged, so the kernel can delete it neither by name nor by its id, %d; it stays, and nothing else depends on it: %w", b.Name, b.ID, byName)
	}
	return errors.Join(byName, err)
}

// checkUnchanged makes sure that what has the name still is the backup that
// was chosen. Someone who deletes or moves backups by hand heeds no lock.
func (s *store) checkUnchanged(b Snapshot) error {
	info, err := s.subvolumeAt(b.Name)
	if err != nil || info == nil || info.ID == b.ID {
		return err
	}
	return failf(ErrNoBackup, "%s is another subvolume than a moment ago", b.Name)
}
