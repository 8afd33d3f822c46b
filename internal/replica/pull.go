package replica

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
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
	c := &copying{store: s}
	if err := c.read(); err != nil {
		return errors.Join(err, writeMessage(w, greetingOf("send", err)))
	}
	if err := writeMessage(w, hello("send", s, c.items, retention.Policy{})); err != nil {
		return fail.Step("answer", err)
	}
	for requests := bufio.NewReader(r); ; {
		if _, err := requests.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		if comesNext(requests, startsWith) {
			if err := answerQuestions(ctx, s, c.items, requests, w); err != nil {
				return fail.Step("compare", err)
			}
		} else if err := c.answer(ctx, requests, w); err != nil {
			return fail.Step("send", err)
		}
	}
}

// answer sends the backup that was requested, or says why it cannot. After an interrupted archive it can send nothing
// more.
func (c *copying) answer(ctx context.Context, r *bufio.Reader, w io.Writer) error {
	line, err := readLine(r, maxRequest)
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
	_, err = out.archive(ctx, w, time.Now(), nil)
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
	talking, stop := context.WithCancel(ctx)
	defer stop()
	session, err := remote.Start(talking, c.o.SSH, hostOf(where), []string{c.program(), "send", "--stdio", "--", where.Path})
	if err != nil {
		return fail.Step("connect", fail.Kind(facts.ErrTarget, err))
	}
	from := &remoteSource{copying: c, session: session, r: bufio.NewReaderSize(session.Stdout, receive.ReadAhead)}
	var hello greeting
	err = readGreeting(from.r, "send", &hello)
	greeted := err == nil
	if err == nil {
		err = hello.err()
	}
	if err == nil {
		c.report.Dest, c.items = hostOf(where)+":"+hello.Dest, hello.Backups
		if err = c.choose(refs); err == nil {
			err = c.into(ctx, target, from.get)
		}
	} else if greeted {
		err = fail.Step("DEST", err)
	}
	if greeted && err != nil {
		stop() // it may be in the middle of a long archive
	}
	return hangUp(ctx, session, stop, from.r, greeted, err)
}

// remoteSource is a DEST on another host.
type remoteSource struct {
	*copying
	session *remote.Session
	r       *bufio.Reader
}

// get requests one backup and receives it.
func (s *remoteSource) get(ctx context.Context, locked *store.Locked, step Step, sent func(uint64)) ([]string, uint64, error) {
	asked := request{Send: step.Item.Name, Plain: s.o.Decompress, Unsummed: true}
	if step.Parent != nil {
		asked.Parent = step.Parent.Name
	}
	if err := writeMessage(s.session.Stdin, asked); err != nil {
		return nil, 0, err
	}
	counted := &meter{ctx: ctx, r: s.r, limit: s.limit, sent: sent}
	// Input is read line by line, or block by block, so that nothing of the next answer is read.
	archive, err := openAnswer(s.r, counted)
	if err != nil {
		return nil, counted.n, err
	}
	if archive.manifest.Name != step.Item.Name || archive.manifest.UUID != step.Item.Origin {
		return nil, counted.n, fmt.Errorf("%w: asked for %s (%s), it sends %s (%s)", facts.ErrArchive,
			step.Item.Name, step.Item.Origin, archive.manifest.Name, archive.manifest.UUID)
	}
	got, err := receiveOne(ctx, locked, archive, step.Item.Name)
	if got == nil {
		return nil, counted.n, err
	}
	return got.Notices, counted.n, err
}

// openAnswer distinguishes an archive from the reason why there is none.
func openAnswer(r *bufio.Reader, counted *meter) (*archiveReader, error) {
	line, err := readLine(r, maxManifest)
	if err != nil {
		return nil, err
	}
	var why failure
	if err := json.Unmarshal(line, &why); err == nil && why.Error != "" {
		return nil, why.err()
	}
	archive, err := newArchiveReader(r, line)
	if archive != nil {
		archive.through = counted
	}
	return archive, err
}
