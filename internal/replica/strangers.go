package replica

import (
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// origin is the source of a backup in its record.
type origin struct {
	Source string `json:"source,omitempty"`
	Host   string `json:"host,omitempty"` // the machine that ran rsbtbackup
}

func originOf(b facts.Snapshot) origin {
	if b.Record == nil {
		return origin{}
	}
	return origin{Source: b.Record.Source, Host: b.Record.Host}
}

// same ignores the host that made a backup of a remote source. An unrecorded host can be any.
func (o origin) same(p origin) bool {
	spec, err := rsyncexec.ParseSource(o.Source)
	anyHost := err == nil && spec.Kind != rsyncexec.Local || o.Host == "" || p.Host == ""
	return o.Source == p.Source && (anyHost || o.Host == p.Host)
}

func (o origin) String() string {
	if o.Host == "" {
		return o.Source
	}
	return o.Source + " on " + o.Host
}

// strangers refuses to mix backups of two sources, because cur of the target could then name either. If both sides have
// one backup in common, or one in DEST was made from the source of the target, they belong together: a DEST may change
// its source. Without records nothing is refused. It is pure.
func strangers(from, to []Item) error {
	there := map[btrfs.UUID]bool{}
	for _, t := range to {
		there[t.Origin] = true
	}
	for _, f := range from {
		if there[f.Origin] {
			return nil
		}
	}
	ours, theirs := newestOrigin(from), newestOrigin(to)
	if ours.Source == "" || theirs.Source == "" {
		return nil
	}
	for _, f := range from {
		if f.Complete && f.Made.same(theirs) {
			return nil
		}
	}
	return fail.Step("refused", fail.Kindf(facts.ErrGuard, "TARGET holds backups of %s, DEST those of %s", theirs, ours))
}

// newestOrigin is that of the newest complete backup by time: copies may arrive late.
func newestOrigin(items []Item) origin {
	var newest Item
	for _, i := range items {
		if i.Complete && !i.Time.Before(newest.Time) {
			newest = i
		}
	}
	return newest.Made
}

// belongs is strangers, unless forced.
func (c *copying) belongs(there []Item) error {
	if c.o.Force {
		return nil
	}
	return strangers(c.items, there)
}
