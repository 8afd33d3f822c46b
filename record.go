// Records: .log/records/NAME.json says what the run that made NAME did, and
// whether NAME is pinned.

package rsbtbackup

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
	"unicode/utf8"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxRecord bounds what is read back: a record lists at most a few messages,
// each at most a path long.
const maxRecord = 1 << 20

// Status tells whether a backup holds everything its source had.
type Status string

const (
	// Complete: rsync read everything (exit 0, or 24: files vanished).
	Complete Status = "complete"
	// Incomplete: rsync could not read everything (exit 23).
	Incomplete Status = "incomplete"
)

// Record is what is kept about one backup. It is written, durably, before the
// backup is published, so an incomplete backup can never be taken for a
// complete one. Backups made by RsbtBackup or rsyncbtrfs have none.
type Record struct {
	Version int    `json:"version"` // of this format: 1
	Name    string `json:"name"`
	Status  Status `json:"status"`

	Source      string          `json:"source,omitempty"`       // as the user gave it, local paths absolute
	SourceBytes []byte          `json:"source_bytes,omitempty"` // the same, where JSON can not hold it
	SourceFS    *SourceIdentity `json:"source_fs,omitempty"`    // local sources only
	Host        string          `json:"host,omitempty"`         // the machine that ran rsbtbackup
	Started     time.Time       `json:"started,omitzero"`       // UTC
	Ended       time.Time       `json:"ended,omitzero"`         // UTC, when the transfer had ended
	Base        string          `json:"base,omitempty"`         // the backup it is incremental on
	Rules       []string        `json:"rules,omitempty"`        // that may have left something out, as options
	Resumed     bool            `json:"resumed,omitempty"`

	RsbtbackupVersion string           `json:"rsbtbackup_version,omitempty"`
	RsyncVersion      string           `json:"rsync_version,omitempty"`
	RsyncExit         int              `json:"rsync_exit"`
	Stats             *rsyncexec.Stats `json:"stats,omitempty"`
	AddedBytes        *uint64          `json:"added_bytes,omitempty"` // file data on disk not shared with earlier backups
	Notices           []string         `json:"notices,omitempty"`

	Pin      *PinInfo      `json:"pin,omitempty"`
	Verified *Verification `json:"verified,omitempty"`
}

// SourceName is Source, byte for byte.
func (r *Record) SourceName() string {
	if r.SourceBytes != nil {
		return string(r.SourceBytes)
	}
	return r.Source
}

// invalidUTF8 returns s as bytes if JSON would alter it.
func invalidUTF8(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

// PinInfo says since when a backup is protected from every prune, and why.
type PinInfo struct {
	At   time.Time `json:"at"` // UTC
	Note string    `json:"note,omitempty"`
}

// openRecords opens .log/records, making it when create is set. A nil file
// with a nil error means there is none yet.
func (s *store) openRecords(create bool) (*os.File, error) {
	d, err := openDirAt(s.log, recordsName)
	if errors.Is(err, fs.ErrNotExist) && create {
		return s.makeRecords()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return d, err
}

// makeRecords makes .log/records, where nobody else does so at the same time.
func (s *store) makeRecords() (*os.File, error) {
	err := mkdirAt(s.log, recordsName, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	made := err == nil
	d, err := openDirAt(s.log, recordsName)
	if err != nil || !made {
		return d, err
	}
	if err := giveToOwner(d, s.log); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

const (
	// recordsWait is how long to wait for the lock of the records, which is had
	// for moments only, where no other time was asked for.
	recordsWait = time.Minute
	// recordsPatience is how long at least where hours of work would be lost.
	recordsPatience = 10 * time.Minute
)

// patience is how long the end of a long run waits for the records: to ask for
// another time may be about its beginning, and must not cost what it has done.
func (s *store) patience() time.Duration { return max(s.lockWait, recordsPatience) }

// lockRecords opens .log/records and takes the lock every writer there holds;
// closing the file releases it.
func (s *store) lockRecords(ctx context.Context, create bool) (*os.File, error) {
	return s.lockRecordsWithin(ctx, cmp.Or(s.lockWait, recordsWait), create)
}

func (s *store) lockRecordsWithin(ctx context.Context, wait time.Duration, create bool) (*os.File, error) {
	records, err := s.openRecords(create)
	if err != nil || records == nil {
		return nil, err
	}
	if err := s.flockRecords(ctx, wait, records); err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return records, nil
}

func (s *store) flockRecords(ctx context.Context, wait time.Duration, records *os.File) error {
	locked, err := flockWithin(ctx, records, 0)
	if err == nil && !locked && wait > 0 {
		if s.waiting != nil {
			s.waiting(wait)
		}
		locked, err = flockWithin(ctx, records, wait)
	}
	if err == nil && !locked {
		err = failf(ErrLocked, "%s is locked by another process", records.Name())
	}
	return err
}

// readRecord returns the record of a backup, or nil when it has none.
func readRecord(records *os.File, name string) (*Record, error) {
	r, _, err := readStampedRecord(records, name)
	return r, err
}

// readStampedRecord is readRecord that also tells which state of the file it
// read.
func readStampedRecord(records *os.File, name string) (*Record, stamp, error) {
	if records == nil {
		return nil, stamp{}, nil
	}
	data, read, err := readStampedAt(records, name+recordSuffix, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, stamp{}, nil
	}
	if err != nil {
		return nil, stamp{}, err
	}
	r, err := parseRecord(data)
	if err == nil && r.Name != name {
		r, err = nil, fmt.Errorf("it is the record of %q", r.Name)
	}
	return r, read, atError("parse", records, name+recordSuffix, err)
}

func parseRecord(data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("record version %d, this program knows 1", r.Version)
	}
	if r.Status != Complete && r.Status != Incomplete {
		return nil, fmt.Errorf("status %q is neither %q nor %q", r.Status, Complete, Incomplete)
	}
	return &r, nil
}

// changeRecord replaces, durably, the record of name by what change makes of
// it; change gets nil when there is none. The lock on the records directory
// makes it safe beside any other verb, so that a backup can be pinned while
// another one is being made.
func (s *store) changeRecord(ctx context.Context, wait time.Duration, name string, change func(*Record) (*Record, error)) error {
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
	return writeFileAt(records, name+recordSuffix, append(data, '\n'), true)
}

// removeRecords forgets names; a missing record is fine.
func removeRecords(records *os.File, names []string) error {
	if records == nil {
		return nil
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, ignoreNotExist(unlinkAt(records, name+recordSuffix, 0)))
	}
	return errors.Join(errs...)
}

// orphanRecords returns the names that have a record but no backup: what a
// run that died between the record and the snapshot, or between a deletion and
// the end of it, leaves behind.
func orphanRecords(records *os.File, have map[string]bool) ([]string, error) {
	if records == nil {
		return nil, nil
	}
	files, err := readNames(records)
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
