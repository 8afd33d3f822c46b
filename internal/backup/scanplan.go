// Deciding how to find out what changed: pure.

package backup

import (
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// ScanAuto is the default of Options.Scan: a walk where it can be trusted, of a btrfs source of what is newer alone, and now
// and then a full run that checks it.
const ScanAuto = "auto"

const (
	// checkEvery runs, and checkAfter the last full one, everything is compared, and the walk with it.
	checkEvery = 10
	checkAfter = 7 * 24 * time.Hour
)

// scanPlan is how a run finds out what changed.
type scanPlan struct {
	walk bool   // the source is walked, if only for the next run
	use  bool   // rsync is asked about what the walk found, if that can be told
	ask  bool   // btrfs is asked what need not be walked
	why  string // not
}

// planScan decides by what is known before the walk.
func planScan(o Options, p *plan, src *source.Source) scanPlan {
	if why := neverScanned(o, src); why != "" {
		return scanPlan{why: why}
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

// maySkipCopying tells whether pending is what the catalog says, so that what moved can be moved in it.
func maySkipCopying(p *plan) bool {
	return p.work == store.WorkSnapshot && p.base.Status == facts.Complete && !store.KnownDamaged(p.base) && !p.base.Touched
}

// neverScanned tells why runs like this one always compare everything.
func neverScanned(o Options, src *source.Source) string {
	switch {
	case !src.Local():
		return "the source is on another machine"
	case o.Checksum:
		return "contents are compared"
	case len(o.RsyncArgs) > 0:
		return "what further options for rsync leave out is not known"
	case len(o.Filter) > 0:
		return "what filter rules leave out is not known"
	}
	return ""
}

// notByScan tells why this run compares everything.
func notByScan(o Options, p *plan, src *source.Source) string {
	switch {
	case o.Scan == facts.ScanFull:
		return "it was asked for"
	case p.first():
		return "it is the first backup"
	case p.work != store.WorkSnapshot:
		return "it goes on with an unfinished backup"
	case p.checksum:
		return "contents are compared"
	case len(src.Changed) > 0:
		return "what is mounted below the source has changed"
	case src.ShownByOthers():
		return "some of the source is on a filesystem that another program shows, or a network"
	case src.Empty:
		return "the source is empty"
	case p.base.Record == nil || p.base.Record.Scan == nil || p.base.Record.Scan.Catalog == "" || p.base.Record.Stats == nil:
		return "nothing is known of the source at the last backup"
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
