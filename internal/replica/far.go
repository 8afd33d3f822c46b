package replica

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// far is the program on the other host.
type far struct {
	session *remote.Session
	stop    func()
	r       *bufio.Reader
	greeted bool
	most    time.Duration // that it may be at work on one answer
}

const (
	// patience is how long the other side may be silent, or take nothing. What takes longer, such as a disk that is
	// slow to sync or a lock that is waited for, it does saying that it is alive.
	patience = 30 * time.Minute
	// patienceOlder is for a side that cannot say so.
	patienceOlder = 12 * time.Hour
	// workMost is how long a side that says so may be at work on one answer, apart from waiting for a lock: its disk
	// may never answer.
	workMost = 12 * time.Hour
	// How much is read from a side that has sent its last message, and for how long, before the session is killed.
	maxRest  = 16 << 20
	restWait = 10 * time.Minute
)

var errFlood = errors.New("the other side prints too much")

// dial starts rsbtbackup on the other host.
func (c *copying) dial(ctx context.Context, where rsyncexec.Source, verb string, flags ...string) (*far, error) {
	talking, stop := context.WithCancel(ctx)
	command := append([]string{cmp.Or(c.o.Program, "rsbtbackup"), verb, "--stdio"}, flags...)
	session, err := remote.Start(talking, c.o.SSH, hostOf(where), append(command, "--", where.Path), cmp.Or(c.patience, patience))
	if err != nil {
		stop()
		return nil, fail.Step("connect", fail.Kind(facts.ErrTarget, err))
	}
	return &far{session: session, stop: stop, r: bufio.NewReaderSize(session.Stdout, receive.ReadAhead), most: workMost + c.o.LockWait}, nil
}

func hostOf(where rsyncexec.Source) string {
	if where.User != "" {
		return where.User + "@" + where.Host
	}
	return where.Host
}

// line reads the next message. That the other side is alive is none.
func (f *far) line(limit int) ([]byte, error) {
	for began := time.Now(); ; {
		f.session.Expect()
		line, err := archive.ReadLine(f.r, limit)
		if f.greeted && errors.Is(err, io.ErrUnexpectedEOF) { // before that hangUp says why
			return nil, f.lost(f.end(), err)
		}
		if err != nil || !bytes.HasPrefix(line, []byte(startsAlive)) {
			return line, err
		}
		if time.Since(began) > f.most {
			return nil, fail.Kindf(facts.ErrTarget, "the other side is alive, but has been at work for %s: see there what it waits for", say.ShortAge(f.most))
		}
	}
}

func (f *far) hear(limit int, message any) error {
	line, err := f.line(limit)
	if err != nil {
		return err
	}
	return parseMessage(line, message)
}

func (f *far) tell(message any) error { return writeMessage(f.session.Stdin, message) }

// greet checks that the other side is the expected one; "" accepts either.
func (f *far) greet(side string) (hello greeting, err error) {
	if err := f.hear(maxGreeting, &hello); err != nil {
		return hello, err
	}
	switch {
	case hello.Version != protocolVersion || hello.Rsbtbackup == "":
		return hello, fmt.Errorf("%w: the other side speaks version %d, this program %d: install the same rsbtbackup on both", facts.ErrArchive, hello.Version, protocolVersion)
	case side != "" && hello.Rsbtbackup != side:
		return hello, fmt.Errorf("%w: the other side can only %s: the ssh key is restricted to another command", facts.ErrArchive, hello.Rsbtbackup)
	}
	again := f.greeted
	f.greeted = true
	switch {
	case again || hello.err() != nil:
		return hello, hello.err()
	case slices.Contains(hello.Can, canAlive):
		return hello, f.tell(alive{(f.session.Patience / 30).String()})
	}
	f.session.Patience = max(f.session.Patience, patienceOlder)
	return hello, nil
}

// endWait is for a side that has said its last to end.
const endWait = time.Minute

// end waits for the end of a side that has said its last, and returns why it ended. It is nil if that is not known.
func (f *far) end() error {
	_ = f.session.Stdin.Close()
	late := time.AfterFunc(endWait, f.stop)
	why := f.session.Wait()
	if !late.Stop() {
		return nil
	}
	return why
}

// lost is the error of a session that ended too early: what ssh, or the other side, said last.
func (f *far) lost(why, err error) error {
	if why == nil {
		return err
	}
	return fail.Kindf(facts.ErrTarget, "the connection ended too early: %w", why)
}

// hangUp ends the session. The error of the other side says more than its consequences here.
func (f *far) hangUp(ctx context.Context, err error) error {
	defer f.stop()
	_ = f.session.Stdin.Close() // the other side ends with its input, and has answered what it could not do
	late := time.AfterFunc(restWait, f.stop)
	defer late.Stop()
	var waitErr error
	if _, restErr := io.CopyN(io.Discard, f.r, maxRest); restErr == nil {
		f.stop()
		_ = f.session.Wait() // it was killed
		waitErr = cmp.Or(err, errFlood)
	} else {
		waitErr = f.session.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return fail.Step("copy", context.Cause(ctx))
	case f.greeted:
		if err == nil && waitErr != nil {
			err = fail.Step("copy", fail.Kind(facts.ErrTarget, waitErr))
		}
		return err
	case waitErr != nil:
		return fail.Step("connect", fail.Kind(facts.ErrTarget, waitErr))
	}
	return fail.Step("connect", fail.Kind(facts.ErrTarget, err))
}

// alive asks a side that can to say that it is alive, so often; with the answer it says so.
type alive struct {
	Alive string `json:"alive"`
}

const (
	canAlive    = "alive" // what a greeting says of this
	startsAlive = `{"alive":`
	isAlive     = `{"alive":"yes"}` + "\n"
	maxAlive    = 1 << 10
	leastAlive  = 50 * time.Millisecond
)

// beat says so if the other side asks for it.
func beat(ctx context.Context, p *remote.Pulse, r *bufio.Reader) error {
	if !comesNext(r, startsAlive) {
		return nil
	}
	line, err := archive.ReadLine(r, maxAlive)
	if err != nil {
		return err
	}
	var asked alive
	if err := json.Unmarshal(line, &asked); err != nil {
		return fmt.Errorf("%w: %w", facts.ErrArchive, err)
	}
	every, err := time.ParseDuration(asked.Alive)
	if err != nil {
		return fmt.Errorf("%w: %w", facts.ErrArchive, err)
	}
	p.Beat(ctx, max(every, leastAlive), isAlive)
	return nil
}
