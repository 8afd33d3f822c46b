package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// RecordFor is the record that goes with a copy: of the run that made it, and the pin. The result of Verify is about
// another disk and is stored separately: if it counted for this disk, damaged data would not be read here.
func RecordFor(b facts.Snapshot, origin btrfs.UUID, host, dest string, now time.Time) *facts.Record {
	r := facts.Record{Version: 1, Name: b.Name, Status: b.Status}
	if b.Record != nil {
		r = *b.Record
	}
	copied := facts.CopyInfo{Host: host, Dest: dest, UUID: origin, At: now, Verified: r.Verified}
	if r.Verified == nil && r.Copied != nil {
		copied.Verified = r.Copied.Verified
	}
	r.Verified, r.Compared, r.Copied = nil, nil, &copied
	return &r
}

// CheckRecord checks everything in a record that comes with a copy.
func CheckRecord(m *Manifest, now time.Time) (facts.Record, error) {
	r := facts.Record{Version: 1, Name: m.Name, Status: facts.Complete}
	if m.Record != nil {
		r = *m.Record
	}
	r.Verified, r.Compared = nil, nil
	if r.Copied == nil {
		r.Copied = &facts.CopyInfo{Host: m.Host, Dest: m.Dest}
	}
	r.Copied.UUID, r.Copied.At, r.Copied.PinnedAt = m.UUID, now, time.Time{}
	if r.Pin != nil {
		r.Copied.PinnedAt = r.Pin.At
	}
	data, err := json.Marshal(r)
	switch {
	case err != nil:
		return r, err
	case r.Name != m.Name:
		return r, fmt.Errorf("%w: its name is %q, but its record is of %q", facts.ErrArchive, m.Name, r.Name)
	case r.Version != 1 || r.Status != facts.Complete && r.Status != facts.Incomplete:
		return r, fmt.Errorf("%w: a record of version %d and status %q", facts.ErrArchive, r.Version, r.Status)
	case len(bytes.TrimSpace(data)) > MaxManifest/4:
		return r, fmt.Errorf("%w: a record of %d bytes", facts.ErrArchive, len(data))
	case r.Started.After(now.Add(ClocksDiffer)):
		return r, fmt.Errorf("%w: its record has the time %s, which is in the future", facts.ErrArchive, r.Started.Format(time.RFC3339))
	}
	if u := r.Unchanged; u != nil && u.At.After(now.Add(ClocksDiffer)) {
		return r, fmt.Errorf("%w: its record says that it was current at %s, which is in the future", facts.ErrArchive, u.At.Format(time.RFC3339))
	}
	if at, _ := store.CanBeBackup(m.Name); r.Started.IsZero() && at.After(now.Add(zonesDiffer)) {
		return r, fmt.Errorf("%w: its name %q is a time in the future", facts.ErrArchive, m.Name)
	}
	return r, nil
}

// A backup from the future would stay the newest one, and never be too old. ClocksDiffer is how far the clocks of two
// hosts may differ; the time zone of a name is unknown.
const (
	ClocksDiffer = time.Hour
	zonesDiffer  = 26 * time.Hour
)
