// Records: .log/records/NAME.json says how NAME was made, and whether it is pinned.

package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// maxRecord limits what is read: a record has only a few messages, each about as long as a path.
const maxRecord = 1 << 20

// openRecords opens .log/records, and creates it if create is set. A nil file with a nil error means there is none yet.
func (s *Store) openRecords(create bool) (*os.File, error) {
	if s.logLost != nil {
		return nil, s.logLost
	}
	d, err := at.OpenDir(s.logDir, recordsName)
	if errors.Is(err, fs.ErrNotExist) && create {
		return s.makeRecords()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return d, err
}

// isLost reports that .log/records is damaged, of another kind, or not for the caller. What only reads backups goes on
// without it.
func isLost(err error) bool { return at.IsUnreadable(err) || at.IsNoDir(err) }

// makeRecords makes .log/records, under a lock.
func (s *Store) makeRecords() (*os.File, error) {
	err := at.Mkdir(s.logDir, recordsName, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	made := err == nil
	d, err := at.OpenDir(s.logDir, recordsName)
	if err != nil || !made {
		return d, err
	}
	if err := at.GiveToOwner(d, s.logDir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

const (
	// recordsWait is how long to wait for the lock of the records, which is held only briefly, where no other time was
	// asked for.
	recordsWait = time.Minute
	// publishWait is the minimum where hours of work would be lost.
	publishWait = 10 * time.Minute
)

// PublishWait is how long the end of a long run waits for the records. A shorter LockWait, which the user may have
// meant only for the beginning, must not cost its work.
func (s *Store) PublishWait() time.Duration { return max(s.LockWait, publishWait) }

// lockRecords opens .log/records and takes the lock that every writer there holds; closing the file releases it.
func (s *Store) lockRecords(ctx context.Context, create bool) (*os.File, error) {
	return s.lockRecordsWithin(ctx, cmp.Or(s.LockWait, recordsWait), create)
}

func (s *Store) lockRecordsWithin(ctx context.Context, wait time.Duration, create bool) (*os.File, error) {
	records, err := s.openRecords(create)
	if err != nil || records == nil {
		return nil, err
	}
	if err := s.flockRecords(ctx, wait, records); err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return records, nil
}

func (s *Store) flockRecords(ctx context.Context, wait time.Duration, records *os.File) error {
	locked, err := flockWithin(ctx, records, 0)
	if err == nil && !locked && wait > 0 {
		if s.waiting != nil {
			s.waiting(wait)
		}
		locked, err = flockWithin(ctx, records, wait)
	}
	if err == nil && !locked {
		err = fail.Kindf(facts.ErrLocked, "%s is locked by another process", records.Name())
	}
	return err
}

// readRecord returns the record of a backup, or nil when it has none.
func readRecord(records *os.File, name string) (*facts.Record, error) {
	r, _, err := readStampedRecord(records, name)
	return r, err
}

// readStampedRecord is readRecord, and also returns which state of the file it read.
func readStampedRecord(records *os.File, name string) (*facts.Record, at.Stamp, error) {
	if records == nil {
		return nil, at.Stamp{}, nil
	}
	data, read, err := at.ReadStamped(records, name+recordSuffix, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, at.Stamp{}, nil
	}
	if err != nil {
		return nil, at.Stamp{}, err
	}
	r, err := parseRecord(data)
	if err == nil && r.Name != name {
		r, err = nil, fmt.Errorf("it is the record of %q", r.Name)
	}
	return r, read, at.Error("parse", records, name+recordSuffix, err)
}

func parseRecord(data []byte) (*facts.Record, error) {
	var r facts.Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("record version %d, this program knows 1", r.Version)
	}
	if r.Status != facts.Complete && r.Status != facts.Incomplete {
		return nil, fmt.Errorf("status %q is neither %q nor %q", r.Status, facts.Complete, facts.Incomplete)
	}
	return &r, nil
}

// How much of a new record is on the disk when changeRecord returns.
const (
	unsynced = iota
	synced   // its data
	durable  // its name, too
)

// changeRecord replaces the record of name by the result of change, which gets nil if there is none. The lock on the
// records directory makes this safe beside any other verb, so that a backup can be pinned while another one is being
// made.
func (s *Store) changeRecord(ctx context.Context, wait time.Duration, name string, change func(*facts.Record) (*facts.Record, error), how int) error {
	records, err := s.lockRecordsWithin(ctx, wait, true)
	if err != nil {
		return err
	}
	defer records.Close()
	old, err := readRecord(records, name)
	if err != nil {
		return err
	}
	r, err := change(old)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := at.WriteFile(records, name+recordSuffix, append(data, '\n'), how != unsynced); err != nil || how != durable {
		return err
	}
	return at.FsyncDir(records)
}

// removeRecords removes the records of names; a missing record is fine.
func removeRecords(records *os.File, names []string) error {
	if records == nil {
		return nil
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, at.IgnoreNotExist(at.Unlink(records, name+recordSuffix, 0)))
	}
	return errors.Join(errs...)
}

// orphanRecords returns the names that have a record but no backup: left by a run that crashed between writing the
// record and the snapshot, or during a deletion.
func orphanRecords(records *os.File, have map[string]bool) ([]string, error) {
	if records == nil {
		return nil, nil
	}
	files, err := at.Names(records)
	if err != nil {
		return nil, err
	}
	var orphans []string
	for _, f := range files {
		name, ok := strings.CutSuffix(f, recordSuffix)
		if _, valid := parseName(name, time.UTC); ok && valid && !have[name] {
			orphans = append(orphans, name)
		}
	}
	return orphans, nil
}
