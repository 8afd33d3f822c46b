// Repair: whatever a crashed run, or somebody else, left under our names is repaired before the next run starts, and
// logged.

package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/subvol"
)

// Repair repairs DEST except pending, which belongs to the plan. It returns what it did, one line each.
func (s *Store) Repair(ctx context.Context, st *State, now time.Time, log *slog.Logger) ([]string, error) {
	var done []string
	did := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		log.Warn("repaired", "what", text)
		done = append(done, text)
	}
	if st.LogMode&0o077 != 0 {
		if err := unix.Fchmod(int(s.logDir.Fd()), 0o700); err != nil {
			return done, at.Error("chmod", s.logDir, "", err)
		}
		did("%s was open to others (mode %04o)", LogDirName, st.LogMode)
	}
	if err := s.sweepTemps(ctx, now, did); err != nil {
		return done, err
	}
	received, err := s.sweepIncoming(now)
	if len(received) > 0 {
		did("removed a backup that was received in part")
	}
	if err != nil {
		return done, err
	}
	if err := s.forget(ctx, st.Orphans); err != nil {
		return done, err
	}
	for _, name := range st.Orphans {
		did("record of %s, which was never published or is deleted", name)
	}
	for _, name := range st.Trash {
		err := subvol.Remove(ctx, s.Dir, name)
		switch {
		case err == nil:
			did("finished the deletion of %s", name)
		case ctx.Err() != nil:
			return done, context.Cause(ctx)
		default:
			// In use, or of another user: a backup need not wait for it.
			log.Warn("could not finish a deletion", "what", name, "error", err)
		}
	}
	if st.curNext != Absent {
		if err := s.clear(curNextName, st.curNext, now); err != nil {
			return done, err
		}
		did("%s was left behind", curNextName)
	}
	what, err := s.repairCur(st, now)
	if what != "" {
		did("%s", what)
	}
	return done, err
}

// repairCur points cur to the newest complete backup.
func (s *Store) repairCur(st *State, now time.Time) (string, error) {
	r, ok := planCur(st)
	if !ok {
		return "", nil
	}
	if r.clear {
		if err := s.clear(CurName, st.Cur, now); err != nil {
			return "", err
		}
	}
	if r.to == "" {
		return r.text, nil
	}
	if err := s.SetCur(r.to); err != nil {
		return "", err
	}
	for i := range st.Backups {
		st.Backups[i].Current = st.Backups[i].Name == r.to
	}
	return r.text, nil
}

// clear frees one of our names. A link or an empty directory is removed; an entry with data that we did not write is
// renamed, and then counts as foreign.
func (s *Store) clear(name string, kind EntryKind, now time.Time) error {
	if kind == unreadable { // the disk may have failed only once
		if again, _, err := s.readLink(name); err == nil {
			kind = again
		}
	}
	switch kind {
	case Absent:
		return nil
	case Symlink:
		return at.Unlink(s.Dir, name, 0)
	case Directory:
		err := at.Unlink(s.Dir, name, unix.AT_REMOVEDIR)
		if !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return moveAside(s.Dir, name, now)
}

// sweepTemps removes temporary files of a crashed run: the lock on DEST excludes all writers except a pin, which holds
// the lock of the records.
func (s *Store) sweepTemps(ctx context.Context, now time.Time, did func(string, ...any)) error {
	if err := sweepTempsIn(s.logDir, now, did); err != nil {
		return err
	}
	records, err := s.lockRecords(ctx, false)
	if err != nil || records == nil {
		return err
	}
	defer records.Close()
	return sweepTempsIn(records, now, did)
}

func sweepTempsIn(dir *os.File, now time.Time, did func(string, ...any)) error {
	names, err := at.Names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, at.TempPrefix) {
			continue
		}
		err := at.Unlink(dir, name, 0)
		if errors.Is(err, unix.EISDIR) {
			err = moveAside(dir, name, now)
		}
		if err != nil {
			return err
		}
		did("removed %s, which was never finished", name)
	}
	return nil
}

// DiscardPending removes pending of any kind, or renames what is not ours. If it did not look like ours, it is examined
// again, because an entry that is renamed is never removed.
func (s *Store) DiscardPending(ctx context.Context, pending PendingState, now time.Time) error {
	kind := pending.Kind
	if kind != Subvolume {
		if p, err := s.readPending(); err == nil {
			kind = p.Kind
		}
	}
	if pending.Strange {
		kind = Directory // of an empty one nothing is lost
	}
	if kind == Subvolume {
		if err := subvol.Remove(ctx, s.Dir, s.PendingName()); err != nil {
			return err
		}
	} else if err := s.clear(s.PendingName(), kind, now); err != nil {
		return err
	}
	return s.removeWorkNote()
}

// forget removes records.
func (s *Store) forget(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	records, err := s.lockRecords(ctx, false)
	if err != nil || records == nil {
		return err
	}
	defer records.Close()
	return removeRecords(records, names)
}
