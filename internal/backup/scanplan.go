// Deciding how to find out what changed: pure.

package backup

import (
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// ScanAuto is the default of Options.Scan: a walk where it is reliable, on btrfs only of what is newer, and regularly a
// full run that checks it.
const ScanAuto = "auto"

const (
	// Every checkEvery runs, and checkAfter the last full one, everything is compared, and the walk is checked.
	checkEvery = 10
	checkAfter = 7 * 24 * time.Hour
)

// scanPlan says how a run finds out what changed.
type scanPlan struct {
	walk bool   // the source is walked, perhaps only for the next run
	use  bool   // rsync gets only what the walk found, if possible
	ask  bool   // btrfs is asked what is newer
	odd  bool   // what rsync takes of the source cannot be told from a walk
	why  string // not
}

// planScan decides from what is known before the walk.
func planScan(o Options, p *plan, src *source.Source) scanPlan {
	if !src.Local() {
		return scanPlan{why: "the source is on another machine"}
	}
	if why := oddlyRead(o); why != "" {
		return scanPlan{walk: true, odd: true, why: why}
	}
	if why := notByScan(o, p, src); why != "" {
		return scanPlan{walk: true, why: why}
	}
	last := p.base.Record.Scan
	switch {
	case o.Scan == facts.ScanWalk:
	case last.SinceFull+1 >= checkEvery:
		return scanPlan{walk: true, why: fmt.Sprintf("the scan is checked every %d runs", checkEvery)}
	case !last.LastFull.After(o.Now.Add(-checkAfter)), last.LastFull.After(o.Now):
		return scanPlan{walk: true, why: "the scan is checked every 7 days"}
	}
	return scanPlan{walk: true, use: true, ask: o.Scan != facts.ScanWalk}
}

// maySkipCopying reports whether pending equals the catalog, so that files that moved can be moved in it.
func maySkipCopying(p *plan) bool {
	return p.work == store.WorkSnapshot && p.base.Status == facts.Complete && !store.KnownDamaged(p.base) && !p.base.Touched
}

// oddlyRead tells why what rsync will find cannot be told. Which files got a new ctime, a walk tells all the same.
func oddlyRead(o Options) string {
	switch {
	case o.Checksum:
		return "contents are compared"
	case len(o.RsyncArgs) > 0:
		return "what further options for rsync leave out is not known"
	case len(o.Filter) > 0:
		return "what filter rules leave out is not known"
	}
	return ""
}

// notByScan says why this run compares everything.
func notByScan(o Options, p *plan, src *source.Source) string {
	switch {
	case o.Scan == facts.ScanFull:
		return "it was asked for"
	case p.first():
		return "it is the first backup"
	case p.work != store.WorkSnapshot:
		return "it goes on with an unfinished backup"
	case p.checksum, o.Checksum:
		return "contents are compared"
	case len(src.Changed) > 0:
		return "the mounts below the source have changed"
	case src.ShownByOthers():
		return "some of the source is on a network or FUSE filesystem, or the like"
	case src.Empty:
		return "the source is empty"
	case p.lastScan() == nil || p.lastScan().Catalog == "" || p.base.Record.Stats == nil:
		return "the last backup has no catalog of the source"
	case p.base.Status != facts.Complete:
		return "the last backup is incomplete"
	case store.KnownDamaged(p.base):
		return "the last backup is damaged"
	case p.base.Touched:
		return "the last backup was changed after it was made"
	case p.base.Record.Scan.Missed > 0:
		return "the last scan missed a change"
	}
	return ""
}
