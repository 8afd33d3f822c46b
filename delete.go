// Delete: taking single backups away, and the one path by which every backup
// goes, whichever verb asked for it.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// DeleteOptions are the options of Delete. The zero value is usable.
type DeleteOptions struct {
	// Force deletes pinned backups and the newest complete one too.
	Force    bool
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
}

// DeleteReport says what Delete did.
type DeleteReport struct {
	Dest    string   `json:"dest"`
	Deleted []string `json:"deleted"`
	Repairs []string `json:"repairs,omitempty"`
}

// Delete removes the backups that refs name: full names, unique prefixes,
// "latest" or "latest~N". All are looked up before the first is deleted. The
// owner of the backups and root may do this.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrGuard (pinned, or the newest
// complete backup, without Force), or what opening and locking DEST gives. The
// report is valid with any error.
func Delete(ctx context.Context, dest string, refs []string, o DeleteOptions) (*DeleteReport, error) {
	report := &DeleteReport{Dest: dest}
	if len(refs) == 0 {
		return report, step("options", failf(ErrUsage, "no backup is named"))
	}
	err := change(ctx, dest, "delete", o.LockWait, o.Now, o.Logger, func(c *changing) error {
		report.Dest, report.Repairs = c.store.path, c.repairs
		doomed, err := findAll(c.state, refs)
		if err != nil {
			return step("find", err)
		}
		if !o.Force {
			if err := checkDoomed(doomed, c.state.newestComplete()); err != nil {
				return step("guard", err)
			}
		}
		report.Deleted, err = c.deleteAll(ctx, doomed, o.Force, nil)
		return err
	})
	return report, err
}

func findAll(st *state, refs []string) ([]Snapshot, error) {
	var found []Snapshot
	seen := map[string]bool{}
	for _, ref := range refs {
		b, err := find(st.backups, ref)
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
	for _, name := range st.foreign {
		if name == ref {
			return failf(ErrNoBackup, "%q is not a backup (a backup is a subvolume with a date as its name)", ref)
		}
	}
	return err
}

func checkDoomed(doomed []Snapshot, newest *Snapshot) error {
	for _, b := range doomed {
		if b.Pinned() {
			return pinnedError(b.Name, b.Record)
		}
		if newest != nil && b.ID == newest.ID {
			return failf(ErrGuard, "%s is the newest complete backup", b.Name)
		}
	}
	return nil
}

func pinnedError(name string, r *Record) error {
	switch {
	case r == nil || r.Pin == nil:
		return failf(ErrGuard, "%s has a record that can not be read, so it may be pinned", name)
	case r.Pin.Note != "":
		return failf(ErrGuard, "%s is pinned: %s", name, r.Pin.Note)
	}
	return failf(ErrGuard, "%s is pinned", name)
}

// changing is DEST opened, locked, read and repaired for a verb other than
// backup.
type changing struct {
	store   *store
	state   *state
	log     *slog.Logger
	repairs []string
	now     time.Time
}

// change runs act on a DEST it has locked and repaired, with the log open.
func change(ctx context.Context, dest, verb string, wait time.Duration, now time.Time, logger *slog.Logger, act func(*changing) error) (err error) {
	s, err := openLocked(ctx, dest, verb, wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if now.IsZero() {
		now = time.Now()
	}
	sink, log, err := s.openLog(logger)
	if err != nil {
		return step("open log", err)
	}
	defer closeLog(sink, logger)
	c := &changing{store: s, log: log, now: now}
	if c.state, err = s.readState(now.Location()); err != nil {
		return step("read", err)
	}
	if c.repairs, err = s.repair(ctx, c.state, now, log); err != nil {
		return step("repair", err)
	}
	if err := act(c); err != nil {
		log.Error(verb+" failed", "error", err)
		return err
	}
	return nil
}

// deleteAll deletes backups in the order given and returns the names of those
// that are gone. One that can not be deleted does not save the others.
func (c *changing) deleteAll(ctx context.Context, doomed []Snapshot, force bool, progress func(done, total int)) ([]string, error) {
	if err := c.moveCur(doomed); err != nil {
		return nil, err
	}
	var gone []string
	var errs []error
	for i, b := range doomed {
		if ctx.Err() != nil {
			errs = append(errs, step("delete", context.Cause(ctx)))
			break
		}
		if err := c.store.deleteBackup(ctx, b.Name, force); err != nil {
			c.log.Error("not deleted", "backup", b.Name, "error", err)
			errs = append(errs, step("delete", err))
		} else {
			c.log.Info("deleted", "backup", b.Name)
			gone = append(gone, b.Name)
		}
		if progress != nil {
			progress(i+1, len(doomed))
		}
	}
	if len(gone) > 0 {
		// Deletions are durable, and the cleaner starts on them, with the next
		// commit; nobody needs to wait for it.
		if _, err := btrfs.StartSync(c.store.dir); err != nil {
			errs = append(errs, step("delete", err))
		}
	}
	return gone, errors.Join(errs...)
}

// moveCur lets cur name the newest complete backup that stays, before the one
// it names is deleted.
func (c *changing) moveCur(doomed []Snapshot) error {
	going := make(map[uint64]bool, len(doomed))
	for _, b := range doomed {
		going[b.ID] = true
	}
	newest := c.state.newestComplete()
	if newest == nil || !going[newest.ID] {
		return nil
	}
	var staying []Snapshot
	for _, b := range c.state.backups {
		if !going[b.ID] {
			staying = append(staying, b)
		}
	}
	if next := newestComplete(staying); next != nil {
		return step("point cur to "+next.Name, c.store.setCur(next.Name))
	}
	return step("remove cur", unlinkAt(c.store.dir, curName, 0))
}

// deleteBackup removes one backup and its record. The pin is read here, under
// the lock that pinning takes, so a pin set at any moment before counts.
func (s *store) deleteBackup(ctx context.Context, name string, force bool) error {
	trash, err := s.unpublish(name, force)
	if err != nil || trash == "" {
		return err
	}
	return removeSubvolume(ctx, s.dir, trash)
}

// unpublish takes name and its record away at once. A backup that one ioctl
// can not delete (subvolumes are nested in it, or the caller is not root) gets
// a name that is no backup's first, which is returned: whatever interrupts the
// rest, nothing half deleted is listed.
func (s *store) unpublish(name string, force bool) (trash string, err error) {
	records, err := s.lockRecords(true)
	if err != nil {
		return "", err
	}
	defer records.Close()
	if !force {
		r, err := readRecord(records, name)
		if err != nil || r != nil && r.Pin != nil {
			return "", errors.Join(pinnedError(name, r), err)
		}
	}
	err = btrfs.DeleteSubvolume(s.dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", err
	case needsTrash(err):
		trash = trashPrefix + name
		if err := renameAt(s.dir, name, trash); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	}
	return trash, removeRecord(records, name)
}

func needsTrash(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || os.Geteuid() != 0 && refused(err)
}
