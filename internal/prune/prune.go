// Prune: deleting by policy, then, if asked, until enough space is free.

package prune

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Options say what to keep. Policy or MinFree must be set.
type Options struct {
	// Policy keeps what any of its rules matches; see package retention.
	// Pinned backups and the newest complete one are kept whatever it says.
	Policy retention.Policy
	// MinFree deletes further backups, oldest first, until that much is free.
	// It deletes none if the file data of all that may go is too little, or while
	// something is mounted on a backup, and no
	// more as long as something is open in a backup it has deleted; without root
	// neither is known.
	MinFree facts.MinFree
	// KeepMin complete backups are left whatever MinFree says; 0 means 1.
	KeepMin int
	// Wait returns only when the space of what was deleted is free again.
	Wait bool

	// Force deletes also where the clock has jumped, or nearly all backups would go
	// although the prunes before deleted few: that stops it otherwise.
	Force bool

	// DryRun reports the plan, with the space it would free, and changes
	// nothing.
	DryRun   bool
	LockWait time.Duration
	Now      time.Time // zero is the present
	Logger   *slog.Logger
	// Progress is called after each deletion. total is 0 where nobody knows
	// how many it takes, which is with MinFree, after what Policy deletes.
	Progress func(done, total int)
}

// Report says what Prune decided and did. Decisions are newest first.
type Report struct {
	Dest      string           `json:"dest"`
	DryRun    bool             `json:"dry_run"`
	Decisions []facts.Decision `json:"decisions"`
	Deleted   []string         `json:"deleted"`
	Free      uint64           `json:"free"`  // bytes, as statfs tells an ordinary user
	Total     uint64           `json:"total"` // bytes
	Repairs   []string         `json:"repairs,omitempty"`
	// Refused says, in a dry run, why nothing would be deleted without Force.
	Refused string `json:"refused,omitempty"`
	// AtMost tells that what Frees says is an upper bound, as of Listing.
	AtMost bool `json:"at_most,omitempty"`
}

// Run deletes the backups that o.Policy does not keep, oldest first. The
// owner of the backups and root may do this.
//
// Errors match ErrUsage (nothing says what to keep, or a value makes no
// sense), ErrGuard with ErrUnusual (unless forced: see Options.Force), ErrNoSpace (MinFree can not be reached: where that can be told
// beforehand nothing is deleted for it; a *HeldError, not yet), or what opening and locking DEST gives.
// The report is valid with any error.
func Run(ctx context.Context, dest string, o Options) (*Report, error) {
	report := &Report{Dest: dest, DryRun: o.DryRun}
	if err := o.Check(); err != nil {
		return report, fail.Step("options", err)
	}
	if o.DryRun {
		return report, planPrune(ctx, dest, o, report)
	}
	err := store.Change(ctx, dest, "prune", o.LockWait, o.Now, o.Logger, func(c *store.Locked) error {
		report.Repairs = c.Repairs
		c.State.WarnOfHidden(c.Log)
		c.State.WarnOfBroken(c.Log)
		return Locked(c, ctx, o, report)
	})
	return report, err
}

func (o *Options) Check() error {
	if o.Policy.IsEmpty() && space.IsZero(o.MinFree) {
		return fail.Kindf(facts.ErrUsage, "nothing says what to keep: an empty policy would delete every backup")
	}
	if err := o.Policy.Validate(); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	if o.MinFree.Bytes < 0 || !(o.MinFree.Percent >= 0 && o.MinFree.Percent < 100) { // NaN fits nothing
		return fail.Kindf(facts.ErrUsage, "--min-free: want a number of bytes, or a percentage from 0 to below 100")
	}
	if o.KeepMin < 0 {
		return fail.Kindf(facts.ErrUsage, "--keep-min=%d: want 1 or more", o.KeepMin)
	}
	if o.KeepMin > 0 && space.IsZero(o.MinFree) {
		return fail.Kindf(facts.ErrUsage, "--keep-min needs --min-free")
	}
	return nil
}

func (o *Options) keepMin() int { return max(o.KeepMin, 1) }

// planPrune reads DEST without locking or changing it.
func planPrune(ctx context.Context, dest string, o Options, report *Report) error {
	s, err := store.Open(dest)
	if err != nil {
		return err
	}
	defer s.Close()
	report.Dest = s.Path
	now := store.Now(o.Now)
	if report.Free, report.Total, err = s.Space(); err != nil {
		return fail.Step("measure", err)
	}
	if err := space.Possible(o.MinFree, report.Total); err != nil {
		return fail.Step("options", err)
	}
	st, err := s.ReadState(now.Location())
	if err != nil {
		return fail.Step("read", err)
	}
	report.Decisions = Decide(st.Backups, o.Policy, now)
	if err := unusual(st, o, now, readPruned(s)); err != nil && !o.Force {
		report.Refused = err.Error()
	}
	m := &space.Measurer{Store: s, Hidden: st.Hidden}
	defer func() { report.AtMost = m.AtMost }()
	if err := m.Measure(ctx, report.Decisions); err != nil {
		return fail.Step("measure", err)
	}
	if space.IsZero(o.MinFree) {
		return nil
	}
	if len(st.Hidden) > 0 && !space.Reached(o.MinFree, report.Free, report.Total) {
		return fail.Step("min-free", o.inTheDark(s.Path, st.Hidden, report))
	}
	return planFreeUp(s, ctx, m, o, report)
}

// planFreeUp guesses, from the file data that would go, what freeUp would
// delete: nothing, and ErrNoSpace, if all of it is too little. Without root
// nothing is known of that, and nothing is guessed.
func planFreeUp(s *store.Store, ctx context.Context, m *space.Measurer, o Options, report *Report) error {
	free, err := unused(s, report.Free)
	if err != nil {
		return fail.Step("measure", err)
	}
	planned, left := slices.Clone(report.Decisions), remaining(report.Decisions)
	for asked := false; ; asked = true {
		frees, known := sum(planned)
		if !known || space.Reached(o.MinFree, free+frees, report.Total) {
			report.Decisions = planned
			return nil
		}
		if !asked {
			if err := inReach(m, ctx, o, free, planned, report); err != nil {
				return err
			}
		}
		i := expendable(left, o.keepMin())
		if i < 0 {
			return fail.Step("min-free", o.outOfReach(s.Path, free+frees, report))
		}
		mark(planned, left[i].Name)
		left = slices.Delete(left, i, i+1)
		if err := m.Measure(ctx, planned); err != nil {
			return fail.Step("measure", err)
		}
	}
}

// unused is what is free, or, where that is 0 and may be so for want of metadata
// alone, what is not in use: to delete gives metadata back.
func unused(s *store.Store, free uint64) (uint64, error) {
	if free > 0 {
		return free, nil
	}
	fs, err := s.Statfs()
	return fs.Bfree * uint64(fs.Bsize), err
}

// sum adds up what the deletions free; known is false if that of any is not.
func sum(decisions []facts.Decision) (frees uint64, known bool) {
	known = true
	for _, d := range decisions {
		switch {
		case d.Keep:
		case d.Frees == nil:
			known = false
		default:
			frees += *d.Frees
		}
	}
	return frees, known
}

// Locked works on a DEST that is locked and repaired.
func Locked(c *store.Locked, ctx context.Context, o Options, report *Report) (err error) {
	report.Dest = c.Store.Path
	if report.Free, report.Total, err = c.Store.Space(); err != nil {
		return fail.Step("measure", err)
	}
	if err := space.Possible(o.MinFree, report.Total); err != nil {
		return fail.Step("options", err)
	}
	report.Decisions = Decide(c.State.Backups, o.Policy, c.Now)
	if err := unusual(c.State, o, c.Now, readPruned(c.Store)); err != nil && !o.Force {
		report.Decisions = keepAll(c.State.Backups)
		report.explainKept("stopped by a safety guard")
		return fail.Step("guard", err)
	}
	var doomed []facts.Snapshot
	for _, d := range slices.Backward(report.Decisions) {
		if !d.Keep {
			doomed = append(doomed, d.Snapshot)
		}
	}
	report.Deleted, err = c.DeleteAll(ctx, doomed, store.Removal{Spared: report.spare, Progress: o.Progress})
	if err == nil && !o.Policy.IsEmpty() {
		notePruned(c, pruned{Of: len(report.Decisions), Deleted: len(report.Deleted)})
	}
	if err == nil && !space.IsZero(o.MinFree) {
		err = freeUp(c, ctx, o, report)
	}
	if err == nil && o.Wait && len(report.Deleted) > 0 {
		err = waitForSpace(c, ctx, c.State.Backups)
	}
	free, total, spaceErr := c.Store.Space()
	report.Free, report.Total = free, total
	return errors.Join(err, fail.Step("measure", spaceErr))
}

// waitForSpace waits for that of what was deleted, and tells of what does not
// give it back.
func waitForSpace(c *store.Locked, ctx context.Context, deleted []facts.Snapshot) error {
	held, err := btrfs.WaitDeleted(ctx, c.Store.Dir)
	if err != nil {
		return fail.Step("wait for space", err)
	}
	for _, b := range deleted {
		if slices.Contains(held, b.ID) {
			c.Log.Warn("its space is not free before every program that uses it lets go", "backup", b.Name)
		}
	}
	return nil
}

// spare corrects the decision on a backup that was pinned after it was made.
func (r *Report) spare(b facts.Snapshot) {
	for i := range r.Decisions {
		if r.Decisions[i].Name == b.Name {
			r.Decisions[i].Keep, r.Decisions[i].Reasons = true, []string{"pinned meanwhile"}
		}
	}
}

// Decide is pure: it asks the policy about every backup, newest first. What is
// decided about a backup goes by its name, as its deletion does.
func Decide(backups []facts.Snapshot, policy retention.Policy, now time.Time) []facts.Decision {
	if policy.IsEmpty() {
		return keepAll(backups)
	}
	asked := make([]retention.Backup, len(backups))
	byName := make(map[string]facts.Snapshot, len(backups))
	for i, b := range backups {
		asked[i] = retention.Backup{Name: b.Name, Time: b.Time, ID: uint64(i + 1), Complete: b.Status == facts.Complete, Pinned: b.Pinned()}
		byName[b.Name] = b
	}
	var decisions []facts.Decision
	for _, d := range retention.Apply(asked, policy, now) {
		decided := facts.Decision{Snapshot: byName[d.Backup.Name], Keep: d.Keep, Reasons: d.Reasons}
		if decided.Current && !d.Keep {
			decided.Keep, decided.Reasons = true, []string{"the current backup"}
		}
		decisions = append(decisions, decided)
	}
	return decisions
}

// notNeeded: space is all that was asked for, and there is enough.
const notNeeded = "space suffices"

func keepAll(backups []facts.Snapshot) []facts.Decision {
	var decisions []facts.Decision
	complete := store.NewestComplete(backups)
	for i, b := range slices.Backward(backups) {
		reason := notNeeded
		switch {
		case b.Pinned():
			reason = "pinned"
		case &backups[i] == complete:
			reason = "newest complete backup"
		case i == len(backups)-1:
			reason = "newest"
		}
		decisions = append(decisions, facts.Decision{Snapshot: b, Keep: true, Reasons: []string{reason}})
	}
	return decisions
}

// freeUp deletes one backup after the other, oldest first, and looks at the
// real free space each time the cleaner is done, also with what was deleted
// before this run: what a deletion frees can not be told from sizes. It deletes
// none where even the whole history would not do.
func freeUp(c *store.Locked, ctx context.Context, o Options, report *Report) error {
	left := remaining(report.Decisions)
	m := &space.Measurer{Store: c.Store}
	var first attempt
	reached, err := enough(c, o.MinFree, report)
	for asked := false; err == nil && !reached; asked = true {
		var held []uint64
		if held, err = btrfs.WaitDeleted(ctx, c.Store.Dir); err != nil {
			return fail.Step("wait for space", err)
		}
		if reached, err = enough(c, o.MinFree, report); err != nil || reached {
			return err
		}
		if len(c.State.Hidden) > 0 {
			return fail.Step("min-free", o.inTheDark(c.Store.Path, c.State.Hidden, report))
		}
		ours := ownHeld(c.Store, held, report)
		if len(ours) > 0 {
			noteHeld(c, ours)
			return fail.Step("min-free", o.heldUp(c.Store.Path, ours, report))
		}
		if len(held) > 0 && !asked {
			c.Log.Warn("deleted subvolumes of another program are in use, and keep their space", "subvolumes", len(held))
		}
		if !asked {
			free, err := unused(c.Store, report.Free)
			if err != nil {
				return fail.Step("measure", err)
			}
			if err := inReach(m, ctx, o, free, undeleted(report.Decisions), report); err != nil {
				return err
			}
		}
		if first.inVain(report.Free) {
			return fail.Step("min-free", o.inVain(c.Store.Path, first.name, report))
		}
		i := expendable(left, o.keepMin())
		if i < 0 {
			return fail.Step("min-free", o.unreachable(c.Store.Path, report.Free, report))
		}
		b := left[i]
		left = slices.Delete(left, i, i+1)
		if err := c.Store.CheckUnchanged(b); err != nil { // minutes may have gone by
			return fail.Step("delete", err)
		}
		if m.AtMost && first.name == "" {
			if first, err = foresee(m, ctx, b.Name, report); err != nil {
				return fail.Step("measure", err)
			}
		}
		c.Log.Info("not enough space is free", "free", report.Free, "total", report.Total, "next", b.Name)
		mark(report.Decisions, b.Name)
		var gone []string
		gone, err = c.DeleteAll(ctx, []facts.Snapshot{b}, store.Removal{Spared: report.spare})
		report.Deleted = append(report.Deleted, gone...)
		if o.Progress != nil {
			o.Progress(len(report.Deleted), 0)
		}
	}
	return err
}

// attempt is the first deletion where the sizes are but an upper bound: what it
// gives back tells whether to go on.
type attempt struct {
	name         string
	frees, begun uint64 // bytes; what it is to free, and what was free before
}

func foresee(m *space.Measurer, ctx context.Context, name string, report *Report) (attempt, error) {
	planned := undeleted(report.Decisions)
	mark(planned, name)
	err := m.Measure(ctx, planned)
	frees, _ := sum(planned)
	return attempt{name, frees, report.Free}, err
}

// inVain is pure. Less than half is more than what others write meanwhile, and than
// what compression and rounding make of it.
func (a attempt) inVain(free uint64) bool {
	return a.name != "" && free < a.begun+a.frees/2
}

// inVain: something else has what the backups have.
func (o *Options) inVain(dest, name string, report *Report) error {
	report.explainKept("deletions free less than was to be seen")
	return fail.Kindf(facts.ErrNoSpace, "%s has %s of %s free, less than %v, and the deletion of %s has freed less than half of what it has alone, as far as can be told: something else has its data too, so nothing more is deleted", dest, humanize.Bytes(report.Free), humanize.Bytes(report.Total), o.MinFree, name)
}

// inReach guesses whether it helps to delete all that may go.
func inReach(m *space.Measurer, ctx context.Context, o Options, free uint64, decisions []facts.Decision, report *Report) error {
	all := slices.Clone(decisions)
	left := remaining(all)
	for i := expendable(left, o.keepMin()); i >= 0; i = expendable(left, o.keepMin()) {
		mark(all, left[i].Name)
		left = slices.Delete(left, i, i+1)
	}
	frees, known, err := m.Total(ctx, all)
	if err == nil && known && !space.Reached(o.MinFree, free+frees, report.Total) {
		return fail.Step("min-free", o.outOfReach(m.Store.Path, free+frees, report))
	}
	return fail.Step("measure", err)
}

// outOfReach says what MinFree would come to if all that may go went. None does.
func (o *Options) outOfReach(dest string, free uint64, report *Report) error {
	report.explainKept("min-free is out of reach")
	return fail.Kindf(facts.ErrNoSpace, "%s would have about %s of %s free, less than %v, with every backup deleted that may go, so none is deleted for it", dest, humanize.Bytes(free), humanize.Bytes(report.Total), o.MinFree)
}

// inTheDark: what a hidden backup shares with those that may go is not known,
// nor whether they are the ones to go.
func (o *Options) inTheDark(dest string, hidden []string, report *Report) error {
	report.explainKept("a backup is hidden")
	return fail.Kindf(facts.ErrNoSpace, "%s has %s of %s free, less than %v, but something is mounted on %s: what a deletion would free can not be told, so none is deleted for it", dest, humanize.Bytes(report.Free), humanize.Bytes(report.Total), o.MinFree, say.SomeNames(hidden))
}

// unreachable says what MinFree comes to once all that may go is gone. Of what
// stays, nothing but a rule of this run is to blame.
func (o *Options) unreachable(dest string, free uint64, report *Report) error {
	report.explainKept("keep-min")
	return fail.Kindf(facts.ErrNoSpace, "%s has %s of %s free, less than %v, with every backup deleted that may go", dest, humanize.Bytes(free), humanize.Bytes(report.Total), o.MinFree)
}

// explainKept gives the reason for what is kept, though not because space
// suffices.
func (r *Report) explainKept(reason string) {
	for i := range r.Decisions {
		if d := &r.Decisions[i]; d.Keep && slices.Equal(d.Reasons, []string{notNeeded}) {
			d.Reasons = []string{reason}
		}
	}
}

// enough notes how much is free and tells whether that is what is asked for.
func enough(c *store.Locked, want facts.MinFree, report *Report) (bool, error) {
	var err error
	report.Free, report.Total, err = c.Store.Space()
	return space.Reached(want, report.Free, report.Total), fail.Step("measure", err)
}

// undeleted leaves out what has been deleted.
func undeleted(decisions []facts.Decision) []facts.Decision {
	return slices.DeleteFunc(slices.Clone(decisions), func(d facts.Decision) bool { return !d.Keep })
}

// remaining returns what is kept so far, oldest first.
func remaining(decisions []facts.Decision) []facts.Snapshot {
	var left []facts.Snapshot
	for _, d := range slices.Backward(decisions) {
		if d.Keep {
			left = append(left, d.Snapshot)
		}
	}
	return left
}

// expendable returns the index of the oldest backup that may go for the sake
// of space, or -1: pinned ones, the newest and the newest complete one stay, and
// so do keepMin complete ones. It is pure; left is oldest first.
func expendable(left []facts.Snapshot, keepMin int) int {
	complete := 0
	for _, b := range left {
		if b.Status == facts.Complete {
			complete++
		}
	}
	newest := store.NewestComplete(left)
	for i, b := range left {
		last := i == len(left)-1 || &left[i] == newest
		if b.Pinned() || b.Current || last || b.Status == facts.Complete && complete <= keepMin {
			continue
		}
		return i
	}
	return -1
}

// mark lets one that is kept go. What goes above it was measured against it, and
// has to be measured again.
func mark(decisions []facts.Decision, name string) {
	i := slices.IndexFunc(decisions, func(d facts.Decision) bool { return d.Name == name })
	decisions[i].Keep, decisions[i].Reasons = false, []string{"space was needed"}
	for ; i >= 0 && !decisions[i].Keep; i-- {
		decisions[i].Frees = nil
	}
}
