package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/time/rate"
)

// Options are those of rsbtbackup.CopyOptions, where each has its comment.
type Options struct {
	SSH        []string
	Program    string
	Decompress bool
	Bwlimit    string
	Keep       retention.Policy

	DryRun   bool
	LockWait time.Duration
	Now      time.Time
	Logger   *slog.Logger
	Progress func(Progress)
}

// Progress is rsbtbackup.CopyProgress.
type Progress struct {
	Backup  string
	Index   int
	Backups int
	Bytes   uint64
}

// Result is rsbtbackup.CopyResult.
type Result string

// The results of Copied.
const (
	ResultCopied  Result = "copied"
	ResultHad     Result = "had"
	ResultWould   Result = "would"
	ResultUnkept  Result = "unkept"
	ResultRefused Result = "refused"
	ResultFailed  Result = "failed"
)

// Copied is rsbtbackup.CopiedBackup.
type Copied struct {
	Name   string
	Result Result
	As     string
	Parent string
	Bytes  uint64
	Error  string
}

// Report is rsbtbackup.CopyReport.
type Report struct {
	Dest    string
	Target  string
	DryRun  bool
	Backups []Copied
	Bytes   uint64
	Deleted []string
	Notices []string
	Repairs []string
	Started time.Time
	Ended   time.Time
}

// sink is the side that receives.
type sink interface {
	// have tells which backups are there.
	have() []Item
	// put has one made, and returns what it has to say, and the number of bytes it was sent.
	put(ctx context.Context, o outgoing, sent func(uint64)) (notices []string, bytes uint64, err error)
}

// copying is one run: the source, opened and read.
type copying struct {
	store  *store.Store
	state  *store.State
	items  []Item
	wanted map[string]bool
	limit  *rate.Limiter
	o      Options
	report *Report
}

// Copy copies backups of dest that target lacks.
func Copy(ctx context.Context, dest, target string, refs []string, o Options) (*Report, error) {
	report := &Report{Dest: dest, Target: target, DryRun: o.DryRun, Started: store.Now(o.Now).UTC()}
	limit, err := checkOptions(o)
	var c *copying
	if err == nil {
		c, err = openSource(dest, refs, o, report)
	}
	if err == nil {
		c.limit = limit
		err = errors.Join(c.to(ctx, target), c.store.Close())
	}
	report.Ended = store.Now(o.Now).UTC()
	return report, err
}

func checkOptions(o Options) (*rate.Limiter, error) {
	perSecond, err := parseRate(o.Bwlimit)
	if err != nil {
		return nil, fail.Step("options", fail.Kind(facts.ErrUsage, err))
	}
	return newLimit(perSecond), checkKeep(o.Keep)
}

func openSource(dest string, refs []string, o Options, report *Report) (*copying, error) {
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	c := &copying{store: s, o: o, report: report, wanted: map[string]bool{}}
	report.Dest = s.Path
	if c.state, err = s.ReadState(time.Local); err == nil {
		c.items, err = itemsOf(s, c.state)
	}
	if err != nil {
		return nil, fail.Step("read", errors.Join(err, s.Close()))
	}
	if len(refs) == 0 {
		for _, item := range c.items {
			c.wanted[item.Name] = true
		}
	}
	for _, ref := range refs {
		b, err := c.state.Find(ref)
		if err != nil {
			return nil, fail.Step("find", errors.Join(err, s.Close()))
		}
		c.wanted[b.Name] = true
	}
	return c, nil
}

// to opens the target and copies what it lacks.
func (c *copying) to(ctx context.Context, target string) error {
	where, err := rsyncexec.ParseSource(target)
	switch {
	case err != nil:
		return fail.Step("options", fail.Kindf(facts.ErrUsage, "TARGET: %w", err))
	case where.Kind == rsyncexec.Daemon:
		return fail.Step("options", fail.Kindf(facts.ErrUsage, "TARGET %q is an rsync daemon, which cannot receive backups; want HOST:PATH", target))
	case where.Kind == rsyncexec.Shell:
		return c.toHost(ctx, where)
	}
	if err := differentDirs(c.store, target); err != nil {
		return err
	}
	if c.o.DryRun {
		return ofTarget(c.dryRun(target))
	}
	return ofTarget(store.Change(ctx, target, "copy", c.o.LockWait, c.o.Now, c.o.Logger, func(locked *store.Locked) error {
		c.report.Target, c.report.Repairs = locked.Store.Path, locked.Repairs
		state, err := locked.Store.ReadState(time.Local)
		if err != nil {
			return fail.Step("read", err)
		}
		items, err := itemsOf(locked.Store, state)
		if err != nil {
			return fail.Step("read", err)
		}
		err = errors.Join(c.run(ctx, &localSink{locked, items}, c.o.Keep), locked.Store.PointCur(locked.Now))
		if c.mayPrune(err) {
			deleted, pruneErr := pruneTo(ctx, locked, c.o.Keep)
			c.report.Deleted, err = deleted, errors.Join(err, pruneErr)
		}
		return err
	}))
}

// ofTarget says that it is TARGET that could not be opened, not DEST.
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
	state, err := s.ReadState(time.Local)
	if err != nil {
		return fail.Step("read", err)
	}
	items, err := itemsOf(s, state)
	if err != nil {
		return fail.Step("read", err)
	}
	c.foresee(items, c.o.Keep)
	return nil
}

func (c *copying) plan(there []Item, keep retention.Policy) []Step {
	return makePlan(c.items, there, c.wanted, unkeptBy(keep, c.items, there, c.wanted, store.Now(c.o.Now)))
}

// foresee reports what would be done.
func (c *copying) foresee(there []Item, keep retention.Policy) {
	for _, step := range c.plan(there, keep) {
		done := newCopied(step)
		if done.Result == "" {
			done.Result = ResultWould
		}
		c.report.Backups = append(c.report.Backups, done)
	}
}

func newCopied(step Step) Copied {
	done := Copied{Name: step.Item.Name}
	switch {
	case step.Refuse != "":
		done.Result, done.Error = ResultRefused, step.Refuse
	case step.Had != "":
		done.Result = ResultHad
		if step.Had != step.Item.Name {
			done.As = step.Had
		}
	case step.Unkept:
		done.Result = ResultUnkept
	case step.Parent != nil:
		done.Parent = step.Parent.Name
	}
	return done
}

// run copies one backup after the other. One that fails ends it: the next would be planned on what is not there. One
// that is refused does not.
func (c *copying) run(ctx context.Context, to sink, keep retention.Policy) error {
	steps := c.plan(to.have(), keep)
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
			err := c.one(ctx, to, step, &done, progress)
			if err != nil {
				done.Result, done.Error = ResultFailed, err.Error()
				c.report.Backups = append(c.report.Backups, done)
				return errors.Join(append(errs, fail.Step("copy", err))...)
			}
		}
		if done.Result == ResultRefused {
			errs = append(errs, fail.Step("copy", fmt.Errorf("%s: %s", done.Name, done.Error)))
		}
		c.report.Backups = append(c.report.Backups, done)
	}
	return errors.Join(errs...)
}

func (c *copying) one(ctx context.Context, to sink, step Step, done *Copied, progress Progress) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b, err := store.Find(c.state.All(), step.Item.Name)
	if err != nil {
		return err
	}
	sent := func(n uint64) {
		progress.Bytes = n
		if c.o.Progress != nil {
			c.o.Progress(progress)
		}
	}
	sent(0)
	notices, bytes, err := to.put(ctx, outgoing{store: c.store, backup: b, item: step.Item, parent: step.Parent, plain: c.o.Decompress, limit: c.limit}, sent)
	done.Bytes = bytes
	c.report.Bytes += bytes
	for _, notice := range notices {
		c.report.Notices = append(c.report.Notices, b.Name+": "+notice)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.Name, err)
	}
	done.Result = ResultCopied
	return nil
}
