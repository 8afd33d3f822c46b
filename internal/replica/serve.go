package replica

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Serve is the receiving side of a copy from another host: it lists on w the backups that dest has, and makes backups
// from the archives on r, with one answer for each. The other side cannot make it do anything else, such as delete,
// rename or read. At the end it prunes by o.Keep, which the user of this host decides.
func Serve(ctx context.Context, dest string, r io.Reader, w io.Writer, o ReceiveOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := remote.NewPulse(r, w)
	in, w := bufio.NewReaderSize(p, receive.ReadAhead), io.Writer(p)
	if err := checkKeep(o.Keep); err != nil {
		return errors.Join(err, writeMessage(w, greetingOf("receive", err)))
	}
	if changes, err := talk(ctx, dest, in, p, o); err != nil || !changes {
		return err
	}
	begins := comesNext(in, about)
	heard := false
	err := store.Change(ctx, dest, "receive", o.LockWait, o.Now, o.Logger, func(c *store.Locked) error {
		if begins {
			_, _ = in.Discard(len(about)) // only its state was read
			items, err := readItems(c.Store)
			if err != nil {
				return err
			}
			heard = true
			if err := writeMessage(w, hello("receive", c.Store, items, o.Keep)); err != nil {
				return fail.Step("answer", err)
			}
		}
		heard = true
		return serveLocked(ctx, c, in, w, o)
	})
	if err != nil && !heard {
		err = errors.Join(err, writeMessage(w, greetingOf("receive", err)))
	}
	return err
}

func serveLocked(ctx context.Context, c *store.Locked, r *bufio.Reader, w io.Writer, o ReceiveOptions) error {
	all, err := takeAll(ctx, c, r, w)
	err = errors.Join(err, c.Store.PointCur(c.Now))
	if o.Keep.IsEmpty() || !all && !errors.Is(err, facts.ErrNoSpace) {
		return err
	}
	deleted, pruneErr := pruneTo(ctx, c, o.Keep)
	bye := farewell{Deleted: deleted}
	if pruneErr != nil {
		bye.failure = failureOf(pruneErr)
	}
	return errors.Join(err, pruneErr, writeMessage(w, bye))
}

func comesNext(r *bufio.Reader, what string) bool {
	next, _ := r.Peek(len(what))
	return string(next) == what
}

// talk does everything that changes nothing, and reports whether there is more to do.
func talk(ctx context.Context, dest string, r *bufio.Reader, w *remote.Pulse, o ReceiveOptions) (more bool, err error) {
	s, err := store.Open(dest)
	if err != nil {
		return false, errors.Join(err, writeMessage(w, greetingOf("receive", err)))
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	items, err := readItems(s)
	if err != nil {
		return false, errors.Join(err, writeMessage(w, greetingOf("receive", err)))
	}
	if err := writeMessage(w, hello("receive", s, items, o.Keep)); err != nil {
		return false, fail.Step("answer", err)
	}
	if err := beat(ctx, w, r); err != nil {
		return false, fail.Step("answer", err)
	}
	for comesNext(r, startsWith) {
		if err := answerQuestions(ctx, s, items, r, w); err != nil {
			return false, fail.Step("compare", err)
		}
	}
	next, _ := r.Peek(1)
	return len(next) > 0, nil
}

func hello(side string, s *store.Store, items []Item, keep retention.Policy) greeting {
	if side == "receive" {
		items = withoutReasons(items)
	}
	return greeting{Rsbtbackup: side, Version: protocolVersion, Dest: s.Path, Backups: items, Keep: keep, Can: []string{canCompare, canBegin, canHear, canUnsummed, canAlive}}
}

func greetingOf(side string, err error) greeting {
	return greeting{Rsbtbackup: side, Version: protocolVersion, failure: failureOf(err)}
}

// takeAll ends with r, and reports whether everything was sent. It also ends after an archive that could not be
// received, because the beginning of the next is unknown.
func takeAll(ctx context.Context, c *store.Locked, r *bufio.Reader, w io.Writer) (all bool, err error) {
	for {
		if next, _ := r.Peek(len(allSent)); len(next) == 0 || string(next) == allSent {
			return len(next) > 0, nil
		}
		if comesNext(r, startsNews) {
			line, err := archive.ReadLine(r, maxNews)
			if err == nil {
				err = hearOne(ctx, c, line, w)
			}
			if err != nil {
				return false, err
			}
			continue
		}
		got, err := take(ctx, c, r)
		if err != nil {
			err = fail.Step("receive", err)
			return false, errors.Join(err, writeMessage(w, answer{failure: failureOf(err)}))
		}
		if err := writeMessage(w, answer{Received: got.Name, Notices: got.Notices}); err != nil {
			return false, fail.Step("answer", err)
		}
	}
}

func take(ctx context.Context, c *store.Locked, r *bufio.Reader) (*receive.Result, error) {
	from, err := archive.Open(r)
	if err != nil {
		return nil, err
	}
	if from.Manifest == nil {
		return nil, errors.Join(facts.ErrArchive, errors.New("a copy begins with a line that describes it"))
	}
	return receiveOne(ctx, c, from, from.Manifest.Name)
}
