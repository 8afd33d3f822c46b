// Planning a backup: from what was read to what to do. Pure.

package backup

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// plan is what a backup will do to DEST.
type plan struct {
	work     store.WorkAction
	base     *facts.Snapshot // nil for a first backup
	discard  bool            // remove the existing pending first
	why      string          // why pending is discarded or resumed, for the log
	checksum bool            // compare contents, not sizes and times
	doubtful bool            // the page cache of pending may differ from the disk
	// unproven: pending is resumed, but its sizes and times are not reliable until all of it was compared. A run that
	// is stopped before must leave it so.
	unproven bool
	cut      store.Seen // by the run that is resumed
	// maxDelete is how many percent of the files of the base may be deleted; 0 means no limit.
	maxDelete int
	naming    store.Naming
}

// wishes are the user's options for the plan.
type wishes struct {
	checksum         bool
	maxDeletePercent int
	force            bool
}

// makePlan decides from the state of DEST, the source and the time.
func makePlan(st *store.State, src *source.Source, now time.Time, w wishes) *plan {
	p := &plan{base: st.Newest(), maxDelete: w.maxDelete(st.Newest(), src)}
	if store.MetadataDamaged(p.base) {
		p.base = nil
	}
	p.naming = st.NewNaming(now)
	p.planWork(st, src)
	p.checksum = p.checksum || w.checksum || src.IsChanged(p.base) || isReplaced(p.base)
	return p
}

// isReplaced reports that somebody has put another subvolume under the name of a backup, so that its record may be
// that of other files. A backup that was received has another parent.
func isReplaced(b *facts.Snapshot) bool {
	return b != nil && b.Record != nil && b.Record.Pending != "" && !b.Received && b.ParentUUID.String() != b.Record.Pending
}

// maxDelete is the user's value, or the default for another SRC or filesystem than at the last backup.
func (w wishes) maxDelete(newest *facts.Snapshot, src *source.Source) int {
	switch {
	case w.force:
		return 0
	case w.maxDeletePercent == 0 && (src.HasOtherName(newest) || src.OtherPlace(newest) != ""):
		return otherSourceDeletes
	}
	return w.maxDeletePercent
}

// against is what a dry run is compared with. For a first backup it is a free name: rsync treats a missing destination
// as empty.
func (p *plan) against(pending string) string {
	switch {
	case p.work == store.WorkResume:
		return pending
	case p.base != nil:
		return p.base.Name
	}
	return p.naming.Name
}

func (p *plan) first() bool { return p.base == nil }

// lastScan is nil if it is unknown.
func (p *plan) lastScan() *facts.Scan {
	if p.first() || p.base.Record == nil {
		return nil
	}
	return p.base.Record.Scan
}

// afterCut reports that the run that is resumed has left a catalog.
func (p *plan) afterCut() bool { return p.cut.Catalog != "" }

// seen is what is known of the source: from the run that is resumed, or from the last backup.
func (p *plan) seen() store.Seen {
	if last := p.lastScan(); !p.afterCut() && last != nil {
		return store.Seen{Catalog: last.Catalog, Generations: last.Generations}
	}
	return p.cut
}

// since is the generation of the base, after which everything in pending is new.
func (p *plan) since() uint64 {
	if p.first() {
		return 0
	}
	return p.base.Generation
}

// baseName is empty for a first backup.
func (p *plan) baseName() string {
	if p.first() {
		return ""
	}
	return p.base.Name
}

// planWork decides what happens to pending.
func (p *plan) planWork(st *store.State, src *source.Source) {
	trust, why := judgePending(&st.Pending, st.Instance, p.base)
	if trust != trustNot && st.BrokenSince(p.base) {
		trust, why = trustNot, "it may have the damage of a backup that cannot be opened"
	}
	p.why = why
	note := st.Pending.Note
	elsewhere := note != nil && (note.Source != strconv.Quote(src.Shown) || note.Root != src.Root())
	switch {
	case trust == trustFully && p.maxDelete > 0 && !p.first():
		p.why = "some deletions were made in it, and all must be counted"
	case trust == trustFully && !elsewhere:
		p.work, p.cut = store.WorkResume, note.Seen
		return
	case trust != trustNot && p.first():
		// There is no other base: the data copied so far is worth reading.
		p.work, p.checksum, p.unproven, p.doubtful = store.WorkResume, true, true, trust == trustByChecksum
		return
	case trust == trustFully:
		p.why = "it was begun from another source"
	}
	// A new snapshot of the base needs no checksum of the whole tree.
	p.discard = st.Pending.Kind != store.Absent
	p.work = store.WorkCreate
	if p.base != nil {
		p.work = store.WorkSnapshot
	}
}

// strange is the message about a pending of somebody else.
const strange = "pending was not made by a backup: it is renamed, unless it is empty"

// text is the message about the pending that the run found.
func (p *plan) text() string {
	switch {
	case p.why == strange:
		return p.why
	case p.discard:
		return "an unfinished backup is removed: " + p.why
	case p.checksum:
		return "an unfinished backup is resumed, comparing contents: " + p.why
	}
	return "an unfinished backup is resumed: " + p.why
}

// level is the log level of text: resuming a properly interrupted run is not a warning.
func (p *plan) level() slog.Level {
	if p.discard || p.checksum {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

type trust int

const (
	trustNot        trust = iota
	trustByChecksum       // sizes and times may be wrong; contents must be compared
	trustFully
)

// judgePending decides whether pending can be continued on top of newest.
func judgePending(p *store.PendingState, now mounts.Instance, newest *facts.Snapshot) (trust, string) {
	if p.Kind == store.Absent {
		return trustNot, ""
	}
	if p.Kind != store.Subvolume {
		return trustNot, fmt.Sprintf("pending is a %s, not a subvolume", p.Kind)
	}
	if p.Strange {
		return trustNot, strange
	}
	if p.PublishedAs(newest) {
		return trustNot, fmt.Sprintf("pending was already published as %s", newest.Name)
	}
	if p.ReadOnly {
		return trustNot, "pending is read-only"
	}
	if newest == nil && !p.ParentUUID.IsZero() || newest != nil && p.ParentUUID != newest.UUID {
		return trustNot, "pending was made from another backup than the newest"
	}
	n := p.Note
	switch {
	case n == nil || n.WorkUUID != p.UUID.String():
		return trustByChecksum, "nothing is known about who wrote pending"
	case n.Phase == store.PhasePoisoned:
		return trustNot, "the disk refused some of the data in pending"
	case !now.Known():
		return trustByChecksum, "the kernel does not tell whether there was a reboot or a remount since (Linux before 6.8, without /sys)"
	case n.Instance != now:
		return trustByChecksum, "pending lived through a reboot or a remount"
	case n.Phase != store.PhaseSynced:
		// A disk that refuses data is reported only once, to the first caller, and the page cache still shows the data.
		return trustByChecksum, "the run before did not end in good order, so the disk may lack some of its data"
	}
	return trustFully, "the run before did not finish"
}
