// Prune: deleting by policy, then, if asked, until enough space is free.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"golang.org/x/sys/unix"
)

// PruneOptions say what to keep. Policy or MinFree must be set.
type PruneOptions struct {
	// Policy keeps what any of its rules matches; see package retention.
	// Pinned backups and the newest complete one are kept whatever it says.
	Policy retention.Policy
	// MinFree deletes further backups, oldest first, until that much is free.
	// It deletes none if the file data of all that may go is too little, or while
	// something is mounted on a backup, and no
	// more as long as something is open in a backup it has deleted; without root
	// neither is known.
	MinFree MinFree
	// KeepMin complete backups are left whatever MinFree says; 0 means 1.
	KeepMin int
	// Wait returns only when the space of what was deleted is free again.
	Wait bool

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

// MinFree is an amount of free space: bytes, or a share of the filesystem.
type MinFree struct {
	Bytes   int64
	Percent float64 // 0 to 100
}

func (m MinFree) isZero() bool { return m == MinFree{} }

// possible refuses what no deletion could reach.
func (m MinFree) possible(total uint64) error {
	if m.Bytes > 0 && uint64(m.Bytes) > total {
		return failf(ErrUsage, "--min-free: %v is more than the filesystem has, %s", m, humanize.Bytes(total))
	}
	return nil
}

// String is as a user would say it.
func (m MinFree) String() string {
	if m.Percent > 0 {
		return fmt.Sprintf("%g %%", m.Percent)
	}
	return humanize.Bytes(uint64(m.Bytes))
}

// reached is pure.
func (m MinFree) reached(free, total uint64) bool {
	return free >= uint64(m.Bytes) && float64(free) >= float64(total)*m.Percent/100
}

// Decision is what becomes of one backup, and why.
type Decision struct {
	Snapshot
	Keep    bool     `json:"keep"`
	Reasons []string `json:"reasons"`
	// Frees is the file data, in bytes, that goes with this backup once the
	// older ones that are to be removed are gone. It is nil where it is not
	// known: for what is kept, without root, with a backup hidden by a mount, and outside a dry run.
	Frees *uint64 `json:"frees,omitempty"`
}

// PruneReport says what Prune decided and did. Decisions are newest first.
type PruneReport struct {
	Dest      string     `json:"dest"`
	DryRun    bool       `json:"dry_run"`
	Decisions []Decision `json:"decisions"`
	Deleted   []string   `json:"deleted"`
	Free      uint64     `json:"free"`  // bytes, as statfs tells an ordinary user
	Total     uint64     `json:"total"` // bytes
	Repairs   []string   `json:"repairs,omitempty"`
}

// Prune deletes the backups that o.Policy does not keep, oldest first. The
// owner of the backups and root may do this.
//
// Errors match ErrUsage (nothing says what to keep, or a value makes no
// sense), ErrNoSpace (MinFree can not be reached: where that can be told
// beforehand nothing is deleted for it; a *HeldError, not yet), or what opening and locking DEST gives.
// The report is valid with any error.
func Prune(ctx context.Context, dest string, o PruneOptions) (*PruneReport, error) {
	report := &PruneReport{Dest: dest, DryRun: o.DryRun}
	if err := o.check(); err != nil {
		return report, step("options", err)
	}
	if o.DryRun {
		return report, planPrune(ctx, dest, o, report)
	}
	err := change(ctx, dest, "prune", o.LockWait, o.Now, o.Logger, func(c *changing) error {
		report.Repairs = c.repairs
		c.state.warnOfHidden(c.log)
		c.state.warnOfBroken(c.log)
		return c.prune(ctx, o, report)
	})
	return report, err
}

func (o *PruneOptions) check() error {
	if o.Policy.IsEmpty() && o.MinFree.isZero() {
		return failf(ErrUsage, "nothing says what to keep: an empty policy would delete every backup")
	}
	if err := o.Policy.Validate(); err != nil {
		return kindError{ErrUsage, err}
	}
	if o.MinFree.Bytes < 0 || !(o.MinFree.Percent >= 0 && o.MinFree.Percent < 100) { // NaN fits nothing
		return failf(ErrUsage, "--min-free: want a number of bytes, or a percentage from 0 to below 100")
	}
	if o.KeepMin < 0 {
		return failf(ErrUsage, "--keep-min=%d: want 1 or more", o.KeepMin)
	}
	if o.KeepMin > 0 && o.MinFree.isZero() {
		return failf(ErrUsage, "--keep-min needs --min-free")
	}
	return nil
}

func (o *PruneOptions) keepMin() int { return max(o.KeepMin, 1) }

// planPrune reads DEST without locking or changing it.
func planPrune(ctx context.Context, dest string, o PruneOptions, report *PruneReport) error {
	s, err := openStore(dest)
	if err != nil {
		return err
	}
	defer s.close()
	report.Dest = s.path
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	if report.Free, report.Total, err = s.space(); err != nil {
		return step("measure", err)
	}
	if err := o.MinFree.possible(report.Total); err != nil {
		return step("options", err)
	}
	st, err := s.readState(now.Location())
	if err != nil {
		return step("read", err)
	}
	report.Decisions = decide(st.backups, o.Policy, now)
	m := &measurer{store: s, hidden: st.hidden}
	if err := m.measure(ctx, report.Decisions); err != nil {
		return step("measure", err)
	}
	if o.MinFree.isZero() {
		return nil
	}
	if len(st.hidden) > 0 && !o.MinFree.reached(report.Free, report.Total) {
		return step("min-free", o.inTheDark(s.path, st.hidden, report))
	}
	return s.planFreeUp(ctx, m, o, report)
}

// planFreeUp guesses, from the file data that would go, what freeUp would
// delete: nothing, and ErrNoSpace, if all of it is too little. Without root
// nothing is known of that, and nothing is guessed.
func (s *store) planFreeUp(ctx context.Context, m *measurer, o PruneOptions, report *PruneReport) error {
	free, err := s.unused(report.Free)
	if err != nil {
		return step("measure", err)
	}
	planned, left := slices.Clone(report.Decisions), remaining(report.Decisions)
	for asked := false; ; asked = true {
		frees, known := sum(planned)
		if !known || o.MinFree.reached(free+frees, report.Total) {
			report.Decisions = planned
			return nil
		}
		if !asked {
			if err := m.inReach(ctx, o, free, planned, report); err != nil {
				return err
			}
		}
		i := expendable(left, o.keepMin())
		if i < 0 {
			return step("min-free", o.outOfReach(s.path, free+frees, report))
		}
		mark(planned, left[i].Name)
		left = slices.Delete(left, i, i+1)
		if err := m.measure(ctx, planned); err != nil {
			return step("measure", err)
		}
	}
}

// unused is what is free, or, where that is 0 and may be so for want of metadata
// alone, what is not in use: to delete gives metadata back.
func (s *store) unused(free uint64) (uint64, error) {
	if free > 0 {
		return free, nil
	}
	fs, err := s.statfs()
	return fs.Bfree * uint64(fs.Bsize), err
}

// sum adds up what the deletions free; known is false if that of any is not.
func sum(decisions []Decision) (frees uint64, known bool) {
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

// prune works on a DEST that is locked and repaired.
func (c *changing) prune(ctx context.Context, o PruneOptions, report *PruneReport) (err error) {
	report.Dest = c.store.path
	if report.Free, report.Total, err = c.store.space(); err != nil {
		return step("measure", err)
	}
	if err := o.MinFree.possible(report.Total); err != nil {
		return step("options", err)
	}
	report.Decisions = decide(c.state.backups, o.Policy, c.now)
	var doomed []Snapshot
	for _, d := range slices.Backward(report.Decisions) {
		if !d.Keep {
			doomed = append(doomed, d.Snapshot)
		}
	}
	report.Deleted, err = c.deleteAll(ctx, doomed, removal{spared: report.spare, progress: o.Progress})
	if err == nil && !o.MinFree.isZero() {
		err = c.freeUp(ctx, o, report)
	}
	if err == nil && o.Wait && len(report.Deleted) > 0 {
		err = c.waitForSpace(ctx, c.state.backups)
	}
	free, total, spaceErr := c.store.space()
	report.Free, report.Total = free, total
	return errors.Join(err, step("measure", spaceErr))
}

// waitForSpace waits for that of what was deleted, and tells of what does not
// give it back.
func (c *changing) waitForSpace(ctx context.Context, deleted []Snapshot) error {
	held, err := btrfs.WaitDeleted(ctx, c.store.dir)
	if err != nil {
		return step("wait for space", err)
	}
	for _, b := range deleted {
		if slices.Contains(held, b.ID) {
			c.log.Warn("its space is not free before every program that uses it lets go", "backup", b.Name)
		}
	}
	return nil
}

// spare corrects the decision on a backup that was pinned after it was made.
func (r *PruneReport) spare(b Snapshot) {
	for i := range r.Decisions {
		if r.Decisions[i].Name == b.Name {
			r.Decisions[i].Keep, r.Decisions[i].Reasons = true, []string{"pinned meanwhile"}
		}
	}
}

// decide is pure: it asks the policy about every backup, newest first. What is
// decided about a backup goes by its name, as its deletion does.
func decide(backups []Snapshot, policy retention.Policy, now time.Time) []Decision {
	if policy.IsEmpty() {
		return keepAll(backups)
	}
	asked := make([]retention.Backup, len(backups))
	byName := make(map[string]Snapshot, len(backups))
	for i, b := range backups {
		asked[i] = retention.Backup{Name: b.Name, Time: b.Time, ID: b.ID, Complete: b.Status == Complete, Pinned: b.Pinned()}
		byName[b.Name] = b
	}
	var decisions []Decision
	for _, d := range retention.Apply(asked, policy, now) {
		decisions = append(decisions, Decision{Snapshot: byName[d.Backup.Name], Keep: d.Keep, Reasons: d.Reasons})
	}
	return decisions
}

// notNeeded: space is all that was asked for, and there is enough.
const notNeeded = "space suffices"

func keepAll(backups []Snapshot) []Decision {
	var decisions []Decision
	complete := newestComplete(backups)
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
		decisions = append(decisions, Decision{Snapshot: b, Keep: true, Reasons: []string{reason}})
	}
	return decisions
}

// freeUp deletes one backup after the other, oldest first, and looks at the
// real free space each time the cleaner is done, also with what was deleted
// before this run: what a deletion frees can not be told from sizes. It deletes
// none where even the whole history would not do.
func (c *changing) freeUp(ctx context.Context, o PruneOptions, report *PruneReport) error {
	left := remaining(report.Decisions)
	reached, err := c.enough(o.MinFree, report)
	for asked := false; err == nil && !reached; asked = true {
		var held []uint64
		if held, err = btrfs.WaitDeleted(ctx, c.store.dir); err != nil {
			return step("wait for space", err)
		}
		if reached, err = c.enough(o.MinFree, report); err != nil || reached {
			return err
		}
		if len(c.state.hidden) > 0 {
			return step("min-free", o.inTheDark(c.store.path, c.state.hidden, report))
		}
		ours := c.store.ownHeld(held, report)
		if len(ours) > 0 {
			c.noteHeld(ours)
			return step("min-free", o.heldUp(c.store.path, ours, report))
		}
		if len(held) > 0 && !asked {
			c.log.Warn("deleted subvolumes of another program are in use, and keep their space", "subvolumes", len(held))
		}
		if !asked {
			free, err := c.store.unused(report.Free)
			if err != nil {
				return step("measure", err)
			}
			if err := (&measurer{store: c.store}).inReach(ctx, o, free, undeleted(report.Decisions), report); err != nil {
				return err
			}
		}
		i := expendable(left, o.keepMin())
		if i < 0 {
			return step("min-free", o.unreachable(c.store.path, report.Free, report))
		}
		b := left[i]
		left = slices.Delete(left, i, i+1)
		if err := c.store.checkUnchanged(b); err != nil { // minutes may have gone by
			return step("delete", err)
		}
		c.log.Info("not enough space is free", "free", report.Free, "total", report.Total, "next", b.Name)
		mark(report.Decisions, b.Name)
		var gone []string
		gone, err = c.deleteAll(ctx, []Snapshot{b}, removal{spared: report.spare})
		report.Deleted = append(report.Deleted, gone...)
		if o.Progress != nil {
			o.Progress(len(report.Deleted), 0)
		}
	}
	return err
}

// inReach guesses whether it helps to delete all that may go.
func (m *measurer) inReach(ctx context.Context, o PruneOptions, free uint64, decisions []Decision, report *PruneReport) error {
	all := slices.Clone(decisions)
	left := remaining(all)
	for i := expendable(left, o.keepMin()); i >= 0; i = expendable(left, o.keepMin()) {
		mark(all, left[i].Name)
		left = slices.Delete(left, i, i+1)
	}
	frees, known, err := m.total(ctx, all)
	if err == nil && known && !o.MinFree.reached(free+frees, report.Total) {
		return step("min-free", o.outOfReach(m.store.path, free+frees, report))
	}
	return step("measure", err)
}

// outOfReach says what MinFree would come to if all that may go went. None does.
func (o *PruneOptions) outOfReach(dest string, free uint64, report *PruneReport) error {
	report.explainKept("min-free is out of reach")
	return failf(ErrNoSpace, "%s would have about %s of %s free, less than %v, with every backup deleted that may go, so none is deleted for it", dest, humanize.Bytes(free), humanize.Bytes(report.Total), o.MinFree)
}

// inTheDark: what a hidden backup shares with those that may go is not known,
// nor whether they are the ones to go.
func (o *PruneOptions) inTheDark(dest string, hidden []string, report *PruneReport) error {
	report.explainKept("a backup is hidden")
	return failf(ErrNoSpace, "%s has %s of %s free, less than %v, but something is mounted on %s: what a deletion would free can not be told, so none is deleted for it", dest, humanize.Bytes(report.Free), humanize.Bytes(report.Total), o.MinFree, someNames(hidden))
}

// unreachable says what MinFree comes to once all that may go is gone. Of what
// stays, nothing but a rule of this run is to blame.
func (o *PruneOptions) unreachable(dest string, free uint64, report *PruneReport) error {
	report.explainKept("keep-min")
	return failf(ErrNoSpace, "%s has %s of %s free, less than %v, with every backup deleted that may go", dest, humanize.Bytes(free), humanize.Bytes(report.Total), o.MinFree)
}

// explainKept gives the reason for what is kept, though not because space
// suffices.
func (r *PruneReport) explainKept(reason string) {
	for i := range r.Decisions {
		if d := &r.Decisions[i]; d.Keep && slices.Equal(d.Reasons, []string{notNeeded}) {
			d.Reasons = []string{reason}
		}
	}
}

// enough notes how much is free and tells whether that is what is asked for.
func (c *changing) enough(want MinFree, report *PruneReport) (bool, error) {
	var err error
	report.Free, report.Total, err = c.store.space()
	return want.reached(report.Free, report.Total), step("measure", err)
}

// undeleted leaves out what has been deleted.
func undeleted(decisions []Decision) []Decision {
	return slices.DeleteFunc(slices.Clone(decisions), func(d Decision) bool { return !d.Keep })
}

// remaining returns what is kept so far, oldest first.
func remaining(decisions []Decision) []Snapshot {
	var left []Snapshot
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
func expendable(left []Snapshot, keepMin int) int {
	complete := 0
	for _, b := range left {
		if b.Status == Complete {
			complete++
		}
	}
	newest := newestComplete(left)
	for i, b := range left {
		last := i == len(left)-1 || &left[i] == newest
		if b.Pinned() || last || b.Status == Complete && complete <= keepMin {
			continue
		}
		return i
	}
	return -1
}

// mark lets one that is kept go. What goes above it was measured against it, and
// has to be measured again.
func mark(decisions []Decision, name string) {
	i := slices.IndexFunc(decisions, func(d Decision) bool { return d.Name == name })
	decisions[i].Keep, decisions[i].Reasons = false, []string{"space was needed"}
	for ; i >= 0 && !decisions[i].Keep; i-- {
		decisions[i].Frees = nil
	}
}

// space returns the bytes an ordinary user can still write, which btrfs sets
// to 0 when metadata is what has run out (btrfs_statfs), and the size of the
// filesystem.
func (s *store) space() (free, total uint64, err error) {
	fs, err := s.statfs()
	return fs.Bavail * uint64(fs.Bsize), fs.Blocks * uint64(fs.Bsize), err
}

func (s *store) statfs() (fs unix.Statfs_t, err error) {
	if err := retry(func() error { return unix.Fstatfs(int(s.dir.Fd()), &fs) }); err != nil {
		return unix.Statfs_t{}, fmt.Errorf("statfs %s: %w", s.path, err)
	}
	return fs, nil
}
