// Repair: what a run that died, or somebody else, left under our names is put
// right before the next run starts, and said in the log.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// repair puts DEST right but for pending, which belongs to the plan. It
// returns what it did, one line each.
func (s *store) repair(ctx context.Context, st *state, now time.Time, log *slog.Logger) ([]string, error) {
	var done []string
	did := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		log.Warn("repaired", "what", text)
		done = append(done, text)
	}
	if st.logMode&0o077 != 0 {
		if err := unix.Fchmod(int(s.log.Fd()), 0o700); err != nil {
			return done, atError("chmod", s.log, "", err)
		}
		did("%s was open to others (mode %04o)", logDirName, st.logMode)
	}
	if err := s.sweepTemps(ctx, did); err != nil {
		return done, err
	}
	if err := s.forget(ctx, st.orphans); err != nil {
		return done, err
	}
	for _, name := range st.orphans {
		did("record of %s, which was never published or is deleted", name)
	}
	for _, name := range st.trash {
		err := removeSubvolume(ctx, s.dir, name)
		switch {
		case err == nil:
			did("finished the deletion of %s", name)
		case ctx.Err() != nil:
			return done, context.Cause(ctx)
		default:
			// In use, or somebody else's: nothing a backup must wait for.
			log.Warn("could not finish a deletion", "what", name, "error", err)
		}
	}
	if st.curNext != absent {
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

// repairCur lets cur name the newest complete backup.
func (s *store) repairCur(st *state, now time.Time) (string, error) {
	newest := st.newestComplete()
	if st.guessing() || st.curHidden() {
		return "", nil
	}
	switch {
	case newest == nil && st.cur == absent, newest != nil && newest.Current:
		return "", nil
	case newest == nil:
		if err := s.clear(curName, st.cur, now); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s was a %s although there is no complete backup", curName, st.cur), nil
	}
	if st.cur != absent && st.cur != symlink {
		if err := s.clear(curName, st.cur, now); err != nil {
			return "", err
		}
	}
	if err := s.setCur(newest.Name); err != nil {
		return "", err
	}
	if st.cur == symlink {
		return fmt.Sprintf("%s pointed to %q, now to %s", curName, st.curLink, newest.Name), nil
	}
	return fmt.Sprintf("%s was %s, now it names %s", curName, st.cur, newest.Name), nil
}

// clear frees one of our names. A link or an empty directory is removed;
// anything that holds data we did not write is moved aside, where it counts as
// foreign.
func (s *store) clear(name string, kind entryKind, now time.Time) error {
	switch kind {
	case absent:
		return nil
	case symlink:
		return unlinkAt(s.dir, name, 0)
	case directory:
		err := unlinkAt(s.dir, name, unix.AT_REMOVEDIR)
		if !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return s.moveAside(name, now)
}

// moveAside gives name another name that is free.
func (s *store) moveAside(name string, now time.Time) error {
	fd := int(s.dir.Fd())
	for n := 0; ; n++ {
		aside := name + asideInfix + candidateName(now, n+1)
		err := retry(func() error { return unix.Renameat2(fd, name, fd, aside, unix.RENAME_NOREPLACE) })
		if !errors.Is(err, unix.EEXIST) {
			return atError("rename to "+aside, s.dir, name, err)
		}
	}
}

// sweepTemps removes the files a run died writing: the lock on DEST keeps out
// all writers but a pin, which holds the lock of the records.
func (s *store) sweepTemps(ctx context.Context, did func(string, ...any)) error {
	if err := sweepTempsIn(s.log, did); err != nil {
		return err
	}
	records, err := s.lockRecords(ctx, false)
	if err != nil || records == nil {
		return err
	}
	defer records.Close()
	return sweepTempsIn(records, did)
}

func sweepTempsIn(dir *os.File, did func(string, ...any)) error {
	names, err := readNames(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		if err := unlinkAt(dir, name, 0); err != nil {
			return err
		}
		did("removed %s, which was never finished", name)
	}
	return nil
}

// discardPending removes pending, whatever it is.
func (s *store) discardPending(ctx context.Context, kind entryKind, now time.Time) error {
	if kind == subvolume {
		if err := removeSubvolume(ctx, s.dir, s.pendingName()); err != nil {
			return err
		}
	} else if err := s.clear(s.pendingName(), kind, now); err != nil {
		return err
	}
	return s.removeWorkNote()
}

// forget removes records.
func (s *store) forget(ctx context.Context, names []string) error {
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
