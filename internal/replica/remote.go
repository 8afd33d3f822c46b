package replica

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// toHost copies to a DEST on another host.
func (c *copying) toHost(ctx context.Context, where rsyncexec.Source) error {
	host, command := hostOf(where), []string{c.program(), "receive", "--stdio"}
	if c.o.LockWait > 0 {
		command = append(command, "--lock-wait="+c.o.LockWait.String())
	}
	command = append(command, keepFlags(c.o.Keep)...)
	talking, stop := context.WithCancel(ctx)
	defer stop()
	session, err := remote.Start(talking, c.o.SSH, host, append(command, "--", where.Path))
	if err != nil {
		return fail.Step("connect", fail.Kind(facts.ErrTarget, err))
	}
	to := &remoteSink{session: session, r: bufio.NewReader(session.Stdout)}
	if err = to.greet(); err == nil {
		err = c.sendTo(ctx, host, to)
	}
	return hangUp(ctx, session, stop, to.r, to.greeted, err)
}

// sendTo copies what the other side lacks. A dry run only reads the first greeting.
func (c *copying) sendTo(ctx context.Context, host string, to *remoteSink) error {
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
		o.unsummed = slices.Contains(to.can, canUnsummed)
		return to.put(ctx, o, sent)
	}}
	if slices.Contains(to.can, canHear) {
		over.tell = to.tell
	}
	err = c.run(ctx, to.items, over, to.keep)
	if !to.keep.IsEmpty() {
		err = errors.Join(err, c.farewell(to, err))
	}
	return err
}

func hostOf(where rsyncexec.Source) string {
	if where.User != "" {
		return where.User + "@" + where.Host
	}
	return where.Host
}

func (c *copying) program() string { return cmp.Or(c.o.Program, "rsbtbackup") }

// How much is read from a side that has sent its last message, and for how long, before the session is killed.
const (
	maxRest  = 16 << 20
	restWait = 10 * time.Minute
)

var errFlood = errors.New("the other side prints too much")

// hangUp ends the session. The error of the other side says more than its consequences here.
func hangUp(ctx context.Context, session *remote.Session, stop func(), r io.Reader, greeted bool, err error) error {
	_ = session.Stdin.Close() // the other side ends with its input, and has answered what it could not do
	late := time.AfterFunc(restWait, stop)
	defer late.Stop()
	var waitErr error
	if _, restErr := io.CopyN(io.Discard, r, maxRest); restErr == nil {
		stop()
		_ = session.Wait() // it was killed
		waitErr = cmp.Or(err, errFlood)
	} else {
		waitErr = session.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return fail.Step("copy", context.Cause(ctx))
	case greeted:
		if err == nil && waitErr != nil {
			err = fail.Step("copy", fail.Kind(facts.ErrTarget, waitErr))
		}
		return err
	case waitErr != nil:
		return fail.Step("connect", fail.Kind(facts.ErrTarget, waitErr))
	}
	return fail.Step("connect", fail.Kind(facts.ErrTarget, err))
}

// farewell asks the other side to prune by its policy, if everything was sent, and returns what was deleted. A full one
// prunes without being asked.
func (c *copying) farewell(to *remoteSink, err error) error {
	failed := slices.ContainsFunc(c.report.Backups, func(b Copied) bool { return b.Result == ResultFailed })
	if failed && !errors.Is(err, facts.ErrNoSpace) {
		return nil
	}
	if !failed {
		if _, err := io.WriteString(to.session.Stdin, allSent); err != nil {
			return fail.Step("prune", err)
		}
	}
	var bye farewell
	if err := readMessage(to.r, maxGreeting, &bye); err != nil {
		return fail.Step("prune", err)
	}
	c.report.Deleted = bye.Deleted
	return fail.Step("prune", bye.err())
}

// remoteSink is a DEST on another host.
type remoteSink struct {
	session *remote.Session
	r       *bufio.Reader
	dest    string
	items   []Item
	keep    retention.Policy // the policy of the other side
	can     []string
	greeted bool
}

func (r *remoteSink) greet() error {
	var hello greeting
	if err := readGreeting(r.r, "receive", &hello); err != nil {
		return err
	}
	r.greeted, r.dest, r.items, r.keep, r.can = true, hello.Dest, hello.Backups, hello.Keep, hello.Can
	return fail.Step("TARGET", hello.err())
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

// readGreeting checks that the other side is the expected one; "" accepts either.
func readGreeting(r *bufio.Reader, side string, hello *greeting) error {
	if err := readMessage(r, maxGreeting, hello); err != nil {
		return err
	}
	switch {
	case hello.Version != protocolVersion || hello.Rsbtbackup == "":
		return fmt.Errorf("%w: the other side speaks version %d, this program %d: install the same rsbtbackup on both", facts.ErrArchive, hello.Version, protocolVersion)
	case side != "" && hello.Rsbtbackup != side:
		return fmt.Errorf("%w: the other side can only %s: the ssh key is restricted to another command", facts.ErrArchive, hello.Rsbtbackup)
	}
	return nil
}

// put sends one archive and waits for the answer, which has the reason even if the other side stopped reading.
func (r *remoteSink) put(ctx context.Context, o outgoing, sent func(uint64)) ([]string, uint64, error) {
	n, err := o.archive(ctx, r.session.Stdin, time.Now(), sent)
	var reply answer
	if err != nil {
		_ = r.session.Stdin.Close() // so that the other side knows that nothing follows
	}
	if readErr := readMessage(r.r, maxAnswer, &reply); readErr != nil {
		return nil, n, errors.Join(err, readErr)
	}
	if there := reply.err(); there != nil {
		if err != nil && !isBrokenPipe(err) {
			return nil, n, err // the error of this side is the cause
		}
		return nil, n, there
	}
	return reply.Notices, n, err
}

// tell passes on news about a backup that was copied before.
func (r *remoteSink) tell(_ context.Context, n news) error {
	if err := writeMessage(r.session.Stdin, n); err != nil {
		return err
	}
	var reply answer
	if err := readMessage(r.r, maxAnswer, &reply); err != nil {
		return err
	}
	return reply.err()
}
