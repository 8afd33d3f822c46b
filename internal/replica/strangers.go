package replica

import (
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// origin is what a backup was made from, as its record says.
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

// same: what is fetched from another host may be fetched by any. A host that is not on record can be each.
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

// strangers refuses to mix what was made from two sources, since cur of the target could then name either. One backup
// that both have, or one of DEST made from the source of the target, shows that they belong together: a DEST may change
// its source. Where there is no record there is nothing to go by. It is pure.
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
	return fail.Step("guard", fail.Kindf(facts.ErrGuard, "TARGET holds backups of %s, DEST those of %s", theirs, ours))
}

// newestOrigin is that of the newest complete backup. Copies that came late are not the newest.
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
