// Planning a backup: from what was read to what is to be done. Pure.

package backup

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// plan is what a backup will do to DEST.
type plan struct {
	work     store.WorkAction
	base     *facts.Snapshot // nil for a first backup
	discard  bool            // remove what stands under pending first
	why      string          // why pending is discarded or resumed, for the log
	checksum bool            // compare contents, not sizes and times
	doubtful bool            // pending may hold, in memory, what the disk does not
	// unproven: pending is resumed, but its sizes and times say nothing before all of it was compared. A run that is stopped
	// before that must leave it so.
	unproven bool
	// maxDelete is how many percent of the files of the base may go; 0 is all.
	maxDelete int
	naming    store.Naming
}

// wishes are what the user says of the plan.
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
	p.naming = store.NewNaming(now, takenNames(st))
	p.planWork(st, src)
	p.checksum = p.checksum || w.checksum || sourceChanged(p.base, src)
	return p
}

// maxDelete is what the user said, or what another SRC or filesystem than at the last backup asks for.
func (w wishes) maxDelete(newest *facts.Snapshot, src *source.Source) int {
	switch {
	case w.force:
		return 0
	case w.maxDeletePercent == 0 && (otherSource(newest, src) || otherFilesystem(newest, src)):
		return otherSourceDeletes
	}
	return w.maxDeletePercent
}

// takenNames are those a new backup cannot have.
func takenNames(st *store.State) map[string]bool {
	taken := map[string]bool{}
	for _, name := range slices.Concat(store.BackupNames(st.Backups), store.BackupNames(st.Broken), st.Hidden) {
		// Nor may the new one sort before those of the same minute or second.
		for end := len(name); end > 0; end = strings.LastIndexAny(name[:end], ":.") {
			taken[name[:end]] = true
		}
	}
	for _, name := range st.Foreign {
		taken[name] = true
	}
	return taken
}

// against is what in DEST a dry run is compared with. For a first backup that
// is a name that is free: rsync takes a destination that is missing for an
// empty one.
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
		trust, why = trustNot, "it may hold what is damaged in a backup that cannot be opened"
	}
	p.why = why
	note := st.Pending.Note
	elsewhere := note != nil && (note.Source != strconv.Quote(src.Shown) || note.Root != src.Root())
	switch {
	case trust == trustFully && p.maxDelete > 0 && !p.first():
		p.why = "some deletions were made in it, and all are to be counted"
	case trust == trustFully && !elsewhere:
		p.work = store.WorkResume
		return
	case trust != trustNot && p.first():
		// Nothing else to start from: what was copied is worth reading.
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

// text is what a run tells of the pending it found.
func (p *plan) text() string {
	switch {
	case p.discard:
		return "an unfinished backup is removed: " + p.why
	case p.checksum:
		return "an unfinished backup is resumed, comparing contents: " + p.why
	}
	return "an unfinished backup is resumed: " + p.why
}

// level is that of text: to resume what was interrupted in good order is
// nothing to worry about.
func (p *plan) level() slog.Level {
	if p.discard || p.checksum {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

type trust int

const (
	trustNot        trust = iota
	trustByChecksum       // sizes and times may lie, contents are as the disk has them
	trustFully
)

// judgePending decides whether pending can be continued on top of newest.
func judgePending(p *store.PendingState, now store.Instance, newest *facts.Snapshot) (trust, string) {
	if p.Kind == store.Absent {
		return trustNot, ""
	}
	if p.Kind != store.Subvolume {
		return trustNot, fmt.Sprintf("pending is a %s, not a subvolume", p.Kind)
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
		// A disk that refuses data says so once, to whoever asks first, and the
		// page cache goes on showing what it never took.
		return trustByChecksum, "the run before did not end in good order, so the disk may lack some of its data"
	}
	return trustFully, "the run before did not finish"
}
