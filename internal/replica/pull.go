package replica

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pace"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/sys/unix"
)

// The sending side sends a greeting of one line, as the receiving side does, and answers each request with an archive,
// or with one line that says why there is none.
type request struct {
	Send   string `json:"send"`
	Parent string `json:"parent,omitempty"`
	Plain  bool   `json:"plain,omitempty"`
	// Unsummed is not known to an older side, which sends a SHA-256.
	Unsummed bool `json:"unsummed,omitempty"`
}

const maxRequest = 64 << 10

// ServeSend is the sending side of a copy from this host: it lists on w the backups that dest has, and sends those that
// are requested on r. It does nothing else and changes nothing.
func ServeSend(ctx context.Context, dest string, r io.Reader, w io.Writer) error {
	s, err := store.Open(dest)
	if err != nil {
		return errors.Join(err, writeMessage(w, greetingOf("send", err)))
	}
	defer s.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := remote.NewPulse(r, w)
	requests, w := bufio.NewReader(p), io.Writer(p)
	c := &copying{store: s}
	if err := c.read(); err != nil {
		return errors.Join(err, writeMessage(w, greetingOf("send", err)))
	}
	if err := writeMessage(w, hello("send", s, c.items, retention.Policy{})); err != nil {
		return fail.Step("answer", err)
	}
	if err := beat(ctx, p, requests); err != nil {
		return fail.Step("answer", err)
	}
	for {
		if _, err := requests.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		if comesNext(requests, startsWith) {
			if err := answerQuestions(ctx, s, c.items, requests, w); err != nil {
				return fail.Step("compare", err)
			}
		} else if err := c.answer(ctx, requests, p); err != nil {
			return fail.Step("send", err)
		}
	}
}

// answer sends the backup that was requested, or says why it cannot. After an interrupted archive it can send nothing
// more.
func (c *copying) answer(ctx context.Context, r *bufio.Reader, w *remote.Pulse) error {
	line, err := archive.ReadLine(r, maxRequest)
	if err != nil {
		return err
	}
	var asked request
	out := outgoing{store: c.store}
	if err = json.Unmarshal(line, &asked); err == nil {
		out.plain, out.unsummed = asked.Plain, asked.Unsummed
		err = c.find(asked, &out)
	}
	if err != nil {
		return errors.Join(err, writeMessage(w, failureOf(err)))
	}
	w.Still(true)
	defer w.Still(false)
	n, err := out.archive(ctx, w, time.Now(), nil)
	if err != nil && n == 0 {
		return errors.Join(err, writeMessage(w, failureOf(err)))
	}
	return err
}

// find accepts only complete names of backups in the greeting.
func (c *copying) find(asked request, out *outgoing) (err error) {
	for i, item := range c.items {
		switch item.Name {
		case asked.Send:
			out.item = item
		case asked.Parent:
			out.parent = &c.items[i]
		}
	}
	switch {
	case out.item.Name == "":
		return fail.Kindf(facts.ErrNoBackup, "no backup is called %q", asked.Send)
	case out.item.WhyNot != "":
		return fail.Kindf(facts.ErrUsage, "%s: %s", out.item.Name, out.item.WhyNot)
	case asked.Parent != "" && (out.parent == nil || !out.parent.Base):
		return fail.Kindf(facts.ErrNoBackup, "no increment can build on %q", asked.Parent)
	}
	out.backup, err = store.Find(c.state.All(), out.item.Name)
	return err
}

// fromHost copies backups of a DEST on another host.
func (c *copying) fromHost(ctx context.Context, where rsyncexec.Source, target string, refs []string) error {
	other, err := c.dial(ctx, where, "send")
	if err != nil {
		return err
	}
	hello, err := other.greet("send")
	switch {
	case err == nil:
		c.report.Dest, c.items = hostOf(where)+":"+hello.Dest, hello.Backups
		if err = c.choose(refs); err == nil {
			err = c.into(ctx, target, (&remoteSource{c, other}).get)
		}
	case other.greeted:
		err = fail.Step("DEST", err)
	}
	if other.greeted && err != nil {
		other.stop() // it may be in the middle of a long archive
	}
	return other.hangUp(ctx, err)
}

// remoteSource is a DEST on another host.
type remoteSource struct {
	*copying
	*far
}

// get requests one backup and receives it.
func (s *remoteSource) get(ctx context.Context, locked *store.Locked, step Step, sent func(uint64)) ([]string, uint64, error) {
	asked := request{Send: step.Item.Name, Parent: step.Parent.name(), Plain: s.o.Decompress, Unsummed: true}
	if err := s.tell(asked); err != nil {
		return nil, 0, err
	}
	counted := &pace.Meter{Ctx: ctx, R: s.r, Limit: s.limit, Sent: sent}
	// Input is read line by line, or block by block, so that nothing of the next answer is read.
	from, err := s.openAnswer(counted)
	if err != nil {
		return nil, counted.N, err
	}
	if from.Manifest.Name != step.Item.Name || from.Manifest.UUID != step.Item.Origin {
		return nil, counted.N, fmt.Errorf("%w: asked for %s (%s), it sends %s (%s)", facts.ErrArchive,
			step.Item.Name, step.Item.Origin, from.Manifest.Name, from.Manifest.UUID)
	}
	got, err := receiveOne(ctx, locked, from, step.Item.Name)
	if got == nil {
		return nil, counted.N, s.cut(step, counted, err)
	}
	return got.Notices, counted.N, err
}

// cut finds out whether the archive was cut off because the other side could not read its backup. Of the reason it has
// only the text, which is the same on each host.
func (s *remoteSource) cut(step Step, counted *pace.Meter, err error) error {
	if !counted.Ended && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	why := s.end()
	switch {
	case !remote.OfProgram(why):
		return s.lost(why, err)
	case step.Parent != nil && strings.Contains(why.Error(), unix.ENOENT.Error()):
		why = fail.Kind(errIncrement, why)
	}
	return fail.Kind(errUnsent, why)
}

// openAnswer distinguishes an archive from the reason why there is none.
func (f *far) openAnswer(counted *pace.Meter) (*archive.Reader, error) {
	line, err := f.line(archive.MaxManifest)
	if err != nil {
		return nil, err
	}
	var why failure
	if err := json.Unmarshal(line, &why); err == nil && why.Error != "" {
		return nil, unsent(why.err())
	}
	from, err := archive.NewReader(f.r, line)
	if from != nil {
		from.Through = counted
	}
	return from, err
}
