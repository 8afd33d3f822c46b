package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pace"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/time/rate"
)

// give makes one backup in a target on this host, and returns its notices and the number of bytes.
type give func(ctx context.Context, locked *store.Locked, step Step, sent func(uint64)) (notices []string, bytes uint64, err error)

// copying is one run. store and state are nil where DEST is on another host.
type copying struct {
	store  *store.Store
	state  *store.State
	items  []Item
	wanted map[string]bool
	limit  *rate.Limiter
	o      Options
	report *Report
	unsent map[string]string   // backups that DEST could not give, and why
	unfit  map[string][]string // of which others the kernel cannot send them as an increment
	// patience is for tests: 0 is the usual.
	patience time.Duration
}

func newCopying(o Options, report *Report) *copying {
	return &copying{o: o, report: report, wanted: map[string]bool{}, unsent: map[string]string{}, unfit: map[string][]string{}}
}

// Copy copies backups of dest that target lacks.
func Copy(ctx context.Context, dest, target string, refs []string, o Options) (*Report, error) {
	report := &Report{Dest: dest, Target: target, DryRun: o.DryRun, Started: store.Now(o.Now).UTC()}
	c := newCopying(o, report)
	limit, err := checkOptions(o)
	if err == nil {
		c.limit = limit
		err = c.between(ctx, dest, target, refs)
	}
	report.Ended = store.Now(o.Now).UTC()
	return report, err
}

func checkOptions(o Options) (*rate.Limiter, error) {
	perSecond, err := pace.Parse(o.Bwlimit)
	if err != nil {
		return nil, fail.Step("options", fail.Kind(facts.ErrUsage, err))
	}
	return pace.New(perSecond), checkKeep(o.Keep)
}

// between finds out which side is on another host: at least one must be on this host.
func (c *copying) between(ctx context.Context, dest, target string, refs []string) error {
	from, err := place("DEST", dest)
	if err != nil {
		return err
	}
	to, err := place("TARGET", target)
	switch {
	case err != nil:
		return err
	case from.Kind == rsyncexec.Shell && to.Kind == rsyncexec.Shell:
		return fail.Step("options", fail.Kindf(facts.ErrUsage, "DEST and TARGET are both on other hosts: run copy on one of them"))
	case from.Kind == rsyncexec.Shell:
		return c.attempts(ctx, func() error { return c.fromHost(ctx, from, target, refs) })
	}
	if err := c.open(dest, refs); err != nil {
		return err
	}
	if to.Kind == rsyncexec.Shell {
		err = c.attempts(ctx, func() error { return c.toHost(ctx, to) })
	} else if err = differentDirs(c.store, target); err == nil {
		err = c.attempts(ctx, func() error { return c.into(ctx, target, c.pipe) })
	}
	return errors.Join(err, c.store.Close())
}

func place(what, path string) (rsyncexec.Source, error) {
	where, err := rsyncexec.ParseSource(path)
	switch {
	case err != nil:
		return where, fail.Step("options", fail.Kindf(facts.ErrUsage, "%s: %w", what, err))
	case where.Kind == rsyncexec.Daemon:
		return where, fail.Step("options", fail.Kindf(facts.ErrUsage, "%s %q is an rsync daemon, which knows nothing of backups; want HOST:PATH", what, path))
	}
	return where, nil
}

// open opens and reads a DEST on this host.
func (c *copying) open(dest string, refs []string) (err error) {
	if c.store, err = store.Open(dest); err != nil {
		return err
	}
	c.report.Dest = c.store.Path
	if err = c.read(); err == nil {
		err = c.choose(refs)
	}
	if err != nil {
		return errors.Join(err, c.store.Close())
	}
	return nil
}

func (c *copying) read() (err error) {
	if c.state, err = c.store.ReadState(time.Local); err == nil {
		c.items, err = itemsOf(c.store, c.state)
	}
	return fail.Step("read", err)
}

// choose returns the backups that refs name, or all.
func (c *copying) choose(refs []string) error {
	var all []facts.Snapshot
	for _, item := range c.items {
		all = append(all, facts.Snapshot{Name: item.Name})
		c.wanted[item.Name] = len(refs) == 0
	}
	for _, ref := range refs {
		b, err := store.Find(all, ref)
		if err != nil {
			return fail.Step("find", err)
		}
		c.wanted[b.Name] = true
	}
	return nil
}

// into copies the backups that a target on this host lacks.
func (c *copying) into(ctx context.Context, target string, give give) error {
	if c.o.DryRun {
		return ofTarget(c.dryRun(target))
	}
	return ofTarget(store.Change(ctx, target, "copy", c.o.LockWait, c.o.Now, c.o.Logger, func(locked *store.Locked) error {
		c.report.Target, c.report.Repairs = locked.Store.Path, locked.Repairs
		items, err := c.lookAt(locked.Store)
		if err != nil {
			return err
		}
		one := func(ctx context.Context, step Step, sent func(uint64)) ([]string, uint64, error) {
			return give(ctx, locked, step, sent)
		}
		tell := func(ctx context.Context, n news) error { return hear(ctx, locked, n) }
		err = errors.Join(c.run(ctx, items, taker{one, tell}, c.o.Keep), locked.Store.PointCur(locked.Now))
		if c.mayPrune(err) {
			deleted, pruneErr := pruneTo(ctx, locked, c.o.Keep)
			c.report.Deleted, err = deleted, errors.Join(err, pruneErr)
		}
		return err
	}))
}

// lookAt reads the backups of a target on this host, and checks that it belongs to DEST.
func (c *copying) lookAt(target *store.Store) ([]Item, error) {
	if err := c.noticeSameDisk(target.Dir); err != nil {
		return nil, err
	}
	items, err := readItems(target)
	if err != nil {
		return nil, err
	}
	return items, c.belongs(items)
}

// readItems reads the backups of a target. Increments do not build on one in which damage was found: they would have
// it, too, and no later copy would be whole again.
func readItems(s *store.Store) ([]Item, error) {
	state, err := s.ReadState(time.Local)
	if err != nil {
		return nil, fail.Step("read", err)
	}
	items, err := itemsOf(s, state)
	for i := range items {
		items[i].Base = items[i].Base && !items[i].Damaged
	}
	return items, fail.Step("read", err)
}

// outgoing is a backup of a DEST on this host, to be sent.
func (c *copying) outgoing(step Step) (outgoing, error) {
	b, err := store.Find(c.state.All(), step.Item.Name)
	return outgoing{store: c.store, backup: b, item: step.Item, parent: step.Parent, plain: c.o.Decompress, limit: c.limit}, err
}

// ofTarget marks an error as one of TARGET, not of DEST.
func ofTarget(err error) error {
	var step *facts.StepError
	if errors.As(err, &step) && step.Step == "DEST" {
		return fail.Step("TARGET", step.Err)
	}
	return err
}

func differentDirs(s *store.Store, target string) error {
	a, err := s.Dir.Stat()
	if err != nil {
		return err
	}
	if b, err := os.Stat(target); err == nil && os.SameFile(a, b) {
		return fail.Step("options", fail.Kindf(facts.ErrUsage, "DEST and TARGET are one directory, %s", s.Path))
	}
	return nil
}

// dryRun needs no lock, and changes nothing.
func (c *copying) dryRun(target string) error {
	s, err := store.Open(target)
	if err != nil {
		return err
	}
	defer s.Close()
	c.report.Target = s.Path
	items, err := c.lookAt(s)
	if err != nil {
		return err
	}
	return c.foresee(items, c.o.Keep)
}

func (c *copying) plan(there []Item, keep retention.Policy) []Step {
	items := c.sendable()
	return makePlan(items, there, c.wanted, unkeptBy(keep, items, there, c.wanted, store.Now(c.o.Now)))
}

// foresee reports what a run would do, and fails as it would.
func (c *copying) foresee(there []Item, keep retention.Policy) error {
	var errs []error
	for _, step := range c.plan(there, keep) {
		done := newCopied(step)
		if done.Result == "" {
			done.Result = ResultWould
		}
		errs = append(errs, refusal(done))
		c.report.Backups = append(c.report.Backups, done)
	}
	return errors.Join(errs...)
}

// refusal is nil for a backup that is not refused.
func refusal(done Copied) error {
	if done.Result != ResultRefused {
		return nil
	}
	return fail.Step("copy", fmt.Errorf("%s: %s", done.Name, done.Error))
}

func newCopied(step Step) Copied {
	done := Copied{Name: step.Item.Name, Parent: step.Parent.name()}
	switch {
	case step.Refuse != "":
		done.Result, done.Error = ResultRefused, step.Refuse
	case step.Had != "":
		done.Result = ResultHad
		if step.Had != step.Item.Name {
			done.As = step.Had
		}
		if step.News != nil {
			done.News = step.News.what()
		}
	case step.Unkept:
		done.Result = ResultUnkept
	}
	return done
}

// run copies one backup after the other. A failure ends the run, because the plan for the next ones depends on it; a
// refused backup does not.
func (c *copying) run(ctx context.Context, there []Item, to taker, keep retention.Policy) error {
	steps := slices.DeleteFunc(c.plan(there, keep), c.settled)
	progress := Progress{Index: -1}
	for _, step := range steps {
		if newCopied(step).Result == "" {
			progress.Backups++
		}
	}
	var errs []error
	for _, step := range steps {
		done := newCopied(step)
		if done.Result == "" {
			progress.Index++
			progress.Backup, progress.Bytes = step.Item.Name, 0
			err := c.one(ctx, to.move, step, &done, progress)
			if err != nil {
				return errors.Join(append(errs, c.failed(done, err))...)
			}
		} else if step.News != nil && to.tell != nil {
			if err := to.tell(ctx, *step.News); err != nil {
				done.News = nil
				return errors.Join(append(errs, c.failed(done, fmt.Errorf("%s: %w", step.Item.Name, err)))...)
			}
		}
		errs = append(errs, refusal(done))
		c.report.Backups = append(c.report.Backups, done)
	}
	return errors.Join(errs...)
}

func (c *copying) failed(done Copied, err error) error {
	done.Result, done.Error = ResultFailed, err.Error()
	c.report.Backups = append(c.report.Backups, done)
	return fail.Step("copy", err)
}

// taker is where copies are made.
type taker struct {
	move move
	tell func(ctx context.Context, n news) error // nil: an older side, which does not receive news
}

// move makes one backup in the target.
type move func(ctx context.Context, step Step, sent func(uint64)) (notices []string, bytes uint64, err error)

func (c *copying) one(ctx context.Context, move move, step Step, done *Copied, progress Progress) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sent := func(n uint64) {
		progress.Bytes = n
		if c.o.Progress != nil {
			c.o.Progress(progress)
		}
	}
	sent(0)
	notices, bytes, err := move(ctx, step, sent)
	done.Bytes = bytes
	c.report.Bytes += bytes
	for _, notice := range notices {
		c.report.Notices = append(c.report.Notices, step.Item.Name+": "+notice)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", step.Item.Name, err)
	}
	done.Result = ResultCopied
	return nil
}
