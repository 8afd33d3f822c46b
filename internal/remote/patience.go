package remote

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
)

const (
	// piece must come, or be taken, within the patience of a session. So a single byte now and then is as good as none.
	piece = 256 << 10
	// grace is for what is still on its way when a session has ended.
	grace = 5 * time.Second
)

// pipe is one end of a pipe to the command. Its deadlines are in time that this machine is awake.
type pipe struct {
	s      *Session
	set    func(time.Time) error
	silent string // what is said of the other side that lets this end wait
	left   time.Duration
	moved  int // since left was all of the patience
}

// Expect begins to wait for something new. Only waiting counts, not what is done between two reads.
func (s *Session) Expect() {
	if s.out != nil {
		s.out.begin()
	}
}

func (p *pipe) begin() { p.left, p.moved = p.s.Patience, 0 }

func (p *pipe) move(call func() error) error {
	began := time.Now()
	p.s.allow(p.set, p.left)
	err := call()
	if p.left -= time.Since(began); p.moved >= piece {
		p.begin()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return p.s.giveUp(p.silent)
	}
	return err
}

// output is what the command writes.
type output struct {
	pipe
	f *os.File
}

func newOutput(s *Session, f *os.File) *output {
	o := &output{pipe{s: s, set: f.SetReadDeadline, silent: "has said nothing"}, f}
	o.begin()
	return o
}

func (o *output) Read(b []byte) (n int, err error) {
	err = o.move(func() (err error) {
		n, err = o.f.Read(b)
		o.moved += n
		return err
	})
	return n, err
}

// allow sets a deadline. After the end of the session there is another one, which is never moved.
func (s *Session) allow(set func(time.Time) error, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.end.IsZero():
		_ = set(s.end)
	case s.Patience > 0:
		_ = set(time.Now().Add(wait))
	default:
		_ = set(time.Time{})
	}
}

// ended wakes whoever waits: a child of the command may keep the pipes open.
func (s *Session) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = time.Now().Add(grace)
	_, _ = s.out.set(s.end), s.in.set(s.end)
}

// giveUp ends the command, and returns why. What it had said before can still be read.
func (s *Session) giveUp(silent string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() && s.lost == nil {
		s.lost = fail.Kindf(facts.ErrTarget, "%s %s for %s and was given up: see there what rsbtbackup waits for", s.host, silent, say.ShortAge(s.Patience))
		s.stop()
	}
	if s.lost == nil {
		return context.Cause(s.ctx)
	}
	return s.lost
}

// Lost is why the other side was given up, or nil.
func (s *Session) Lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}
