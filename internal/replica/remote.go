package replica

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// toHost copies to a DEST on another host.
func (c *copying) toHost(ctx context.Context, where rsyncexec.Source) error {
	var flags []string
	if c.o.LockWait > 0 {
		flags = append(flags, "--lock-wait="+c.o.LockWait.String())
	}
	other, err := c.dial(ctx, where, "receive", append(flags, keepFlags(c.o.Keep)...)...)
	if err != nil {
		return err
	}
	first := c.startAhead(ctx)
	defer func() { first.takeFor(Step{}) }()
	to := &remoteSink{far: other}
	if err = to.greet(); err == nil {
		err = c.sendTo(ctx, hostOf(where), to, func(step Step) (s *stream) {
			s, first = first.takeFor(step), nil
			return s
		})
	}
	return other.hangUp(ctx, err)
}

// sendTo copies what the other side lacks. A dry run only reads the first greeting.
func (c *copying) sendTo(ctx context.Context, host string, to *remoteSink, begun func(Step) *stream) error {
	c.report.Target = host + ":" + to.dest
	err := fail.Step("TARGET", samePolicy(c.o.Keep, to.keep))
	if err == nil {
		err = c.belongs(to.items)
	}
	if err != nil {
		return err
	}
	if c.o.DryRun {
		return c.foresee(to.items, to.keep)
	}
	if err := to.begin(); err != nil {
		return err
	}
	over := taker{move: func(ctx context.Context, step Step, sent func(uint64)) ([]string, uint64, error) {
		o, err := c.outgoing(step)
		if err != nil {
			return nil, 0, err
		}
		o.unsummed, o.begun = slices.Contains(to.can, canUnsummed), begun(step)
		return to.put(ctx, o, sent)
	}}
	if slices.Contains(to.can, canHear) {
		over.tell = to.pass
	}
	err = c.run(ctx, to.items, over, to.keep)
	if !to.keep.IsEmpty() {
		err = errors.Join(err, c.farewell(to, err))
	}
	return err
}

// farewell asks the other side to prune by its policy, if everything was sent, and returns what was deleted. A full one
// prunes without being asked.
func (c *copying) farewell(to *remoteSink, err error) error {
	failed := c.lacks()
	if failed && !errors.Is(err, facts.ErrNoSpace) {
		return nil
	}
	if !failed {
		if _, err := io.WriteString(to.session.Stdin, allSent); err != nil {
			return fail.Step("prune", err)
		}
	}
	var bye farewell
	if err := to.hear(maxGreeting, &bye); err != nil {
		return fail.Step("prune", err)
	}
	c.report.Deleted = bye.Deleted
	return fail.Step("prune", bye.err())
}

// remoteSink is a DEST on another host.
type remoteSink struct {
	*far
	dest  string
	items []Item
	keep  retention.Policy // the policy of the other side
	can   []string
}

func (r *remoteSink) greet() error {
	hello, err := r.far.greet("receive")
	r.dest, r.items, r.keep, r.can = hello.Dest, hello.Backups, hello.Keep, hello.Can
	if r.greeted {
		err = fail.Step("TARGET", err)
	}
	return err
}

// begin asks the other side to take the lock. It sends a second greeting, because its backups may have changed. An
// older program has the lock already.
func (r *remoteSink) begin() error {
	if !slices.Contains(r.can, canBegin) {
		return nil
	}
	if _, err := io.WriteString(r.session.Stdin, about); err != nil {
		return fail.Step("copy", err)
	}
	return r.greet()
}

// put sends one archive and waits for the answer, which has the reason even if the other side stopped reading.
func (r *remoteSink) put(ctx context.Context, o outgoing, sent func(uint64)) ([]string, uint64, error) {
	n, err := o.archive(ctx, r.session.Stdin, time.Now(), sent)
	var reply answer
	if err != nil {
		_ = r.session.Stdin.Close() // so that the other side knows that nothing follows
	}
	if readErr := r.hear(maxAnswer, &reply); readErr != nil {
		switch {
		case errors.Is(err, errUnsent):
			return nil, n, err
		case isBrokenPipe(err):
			err = nil // a consequence
		}
		return nil, n, cmp.Or(r.session.Lost(), errors.Join(err, readErr))
	}
	if there := reply.err(); there != nil {
		if err != nil && !isBrokenPipe(err) && r.session.Lost() == nil {
			return nil, n, err // the error of this side is the cause
		}
		return nil, n, there
	}
	return reply.Notices, n, err
}

// pass passes on news about a backup that was copied before.
func (r *remoteSink) pass(_ context.Context, n news) error {
	if err := r.tell(n); err != nil {
		return err
	}
	var reply answer
	if err := r.hear(maxAnswer, &reply); err != nil {
		return err
	}
	return reply.err()
}
