// Init: makes a directory on btrfs a backup directory, or adopts one made by RsbtBackup or rsyncbtrfs.

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

// InitOptions are rsbtbackup.InitOptions, where each field has its comment.
type InitOptions struct {
	LockWait time.Duration
	Logger   *slog.Logger
}

// InitReport is rsbtbackup.InitReport, where each field has its comment.
type InitReport struct {
	Dest     string
	Already  bool
	Adopted  string
	Backups  int
	Warnings []string
}

const markerText = "rsbtbackup layout 1\n"

// Init is rsbtbackup.Init.
func Init(ctx context.Context, dest string, o InitOptions) (*InitReport, error) {
	dir, err := openDest(dest)
	if err != nil {
		return nil, fail.Step("DEST", err)
	}
	s := &Store{Path: dir.Name(), Dir: dir}
	defer s.Close()
	if around, ours := partOfDest(s.Path); around != "" {
		return nil, fail.Step("DEST", fail.Kindf(facts.ErrDest, "%s is a part of the backup directory %s, at %s", s.Path, around, ours))
	}
	r := &InitReport{Dest: s.Path}
	err = s.openLogDir()
	switch {
	case err == nil:
		r.Already = true
	case errors.Is(err, facts.ErrNotInitialized):
		if err := s.makeLogDir(ctx, o.LockWait); err != nil {
			return nil, err
		}
	default:
		return nil, fail.Step("DEST", err)
	}
	return r, s.describe(r, o.Logger)
}

// partOfDest returns the backup directory in which path, without symlinks, is (or is in) something of ours, such as a
// backup, and what that is; or nothing.
func partOfDest(path string) (around, ours string) {
	for dir, name := filepath.Dir(path), filepath.Base(path); name != "/"; dir, name = filepath.Dir(dir), filepath.Base(dir) {
		_, isBackup := parseName(name, time.Local)
		if !isBackup && name != LogDirName && name != PendingName {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, LogDirName, markerName)); err == nil {
			return dir, name
		}
	}
	return "", ""
}

// makeLogDir makes the missing parts of .log. It locks DEST, so that of several inits at once one does the work and the
// others find it done.
func (s *Store) makeLogDir(ctx context.Context, wait time.Duration) error {
	err := btrfs.CreateSubvolume(s.Dir, LogDirName)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fail.Step("create "+LogDirName, err)
	}
	made := err == nil
	if s.logDir == nil {
		if s.logDir, err = at.OpenDir(s.Dir, LogDirName); err != nil {
			return fail.Step("open", err)
		}
	}
	if made {
		if err := unix.Fchmod(int(s.logDir.Fd()), 0o700); err != nil {
			return fail.Step("init", at.Error("chmod", s.logDir, "", err))
		}
	}
	if err := s.lock(ctx, "init", max(wait, 5*time.Second)); err != nil {
		return fail.Step("lock", err)
	}
	if err := at.WriteFile(s.logDir, markerName, []byte(markerText), true); err != nil {
		return fail.Step("init", err)
	}
	return fail.Step("init", errors.Join(at.FsyncDir(s.logDir), at.FsyncDir(s.Dir)))
}

// describe fills in the report and writes the first line of the log.
func (s *Store) describe(r *InitReport, logger *slog.Logger) error {
	st, err := s.ReadState(time.Local)
	if err != nil {
		return fail.Step("read", err)
	}
	r.Backups = len(st.All())
	r.Adopted = s.madeBy(st)
	if r.Warnings, err = s.exposure(); err != nil {
		return fail.Step("read", err)
	}
	if why := s.WithoutChecksums(st); why != "" {
		r.Warnings = append(r.Warnings, why)
	}
	if lost := lostRecords(st); lost > 0 && !r.Already {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the records of %s are gone: they count as complete, but may not be", say.Plural(lost, "backup")))
	}
	if nested := s.nested(st); nested != "" {
		r.Warnings = append(r.Warnings, nested)
	}
	if r.Already {
		return nil
	}
	sink, log, err := s.OpenLog(logger)
	if err != nil {
		return err
	}
	log.Info("initialised", "dest", s.Path, "backups", r.Backups, "adopted", r.Adopted)
	for _, w := range r.Warnings {
		log.Warn(w)
	}
	CloseLog(sink, logger)
	return nil
}

// Unsummed reports whether DEST is mounted so that new data has no checksums.
func (s *Store) Unsummed() bool { return mounts.ReadMount(s.Dir).Unsummed }

// WithoutChecksums says why data of the next backup would have no checksums; empty if it would have them. Damage to
// data without checksums is not noticed.
func (s *Store) WithoutChecksums(st *State) string {
	const so = "so what is written has no checksums, and no verify can find damage to it"
	if s.Unsummed() {
		return fmt.Sprintf("%s is mounted with nodatacow or nodatasum, %s (findmnt -T %[1]s; to go back: mount -o remount,datacow,datasum)", s.Path, so)
	}
	// New files inherit the attribute from their directory; a new subvolume does not, so that of DEST does not matter.
	newest := st.Newest()
	if newest == nil {
		return ""
	}
	d, err := at.OpenDir(s.Dir, newest.Name)
	if err != nil {
		return "" // another error will be reported
	}
	noCOW, err := btrfs.NoCOW(d)
	_ = d.Close() // nothing was written
	if err == nil && noCOW {
		return fmt.Sprintf("%s has the attribute of chattr +C, %s (lsattr -d)", d.Name(), so)
	}
	return ""
}

// madeBy says which program made the backups without a record of ours.
func (s *Store) madeBy(st *State) string {
	if _, err := at.Stat(s.Dir, rsyncbtrfsMarker); err == nil {
		return "rsyncbtrfs"
	}
	for _, b := range st.Backups {
		if b.Record == nil && b.RecordError == "" && !NamedByUs(b.Name) {
			return "RsbtBackup"
		}
	}
	return ""
}

// lostRecords counts backups without a record that, by their names, were made by this program.
func lostRecords(st *State) int {
	lost := 0
	for _, b := range st.Backups {
		if b.Record == nil && b.RecordError == "" && NamedByUs(b.Name) {
			lost++
		}
	}
	return lost
}

// nested warns about backup directories in DEST: it is then more likely a parent of several than one itself.
func (s *Store) nested(st *State) string {
	var dests []string
	for _, name := range st.Foreign {
		if _, err := os.Lstat(filepath.Join(s.Path, name, LogDirName, markerName)); err == nil {
			dests = append(dests, name)
		}
	}
	if len(dests) == 0 {
		return ""
	}
	return fmt.Sprintf("%s has backup directories in it: %s", s.Path, say.QuoteSome(dests))
}

// exposure warns about a DEST that others can search or change: a directory that is private at the source only through
// one above it (such as mode 0700 of /root) is readable here, and users who can write to DEST can replace its entries.
func (s *Store) exposure() ([]string, error) {
	st, err := at.Stat(s.Dir, ".")
	if err != nil {
		return nil, err
	}
	var warnings []string
	if st.Mode&0o005 != 0 {
		warnings = append(warnings, fmt.Sprintf("%s can be entered by every user, who can read in it what only a directory above SRC kept private (mode %04o); unless that is meant: chmod 0700 %[1]s", s.Path, st.Mode&0o7777))
	}
	if st.Mode&0o022 != 0 {
		warnings = append(warnings, fmt.Sprintf("%s can be changed by other users (mode %04o)", s.Path, st.Mode&0o7777))
	}
	if uid := os.Geteuid(); int(st.Uid) != uid && st.Uid != 0 {
		warnings = append(warnings, fmt.Sprintf("%s belongs to user %d, who can change its backups", s.Path, st.Uid))
	}
	return warnings, nil
}
