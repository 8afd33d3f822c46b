package replica

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Serve is the receiving side of a copy from another host: it says on w which backups dest has, and makes backups of
// the archives that come in on r, one answer for each. The other end cannot make it do anything else, such as delete,
// rename or read. In the end it prunes by o.Keep, which the user of this host decides.
func Serve(ctx context.Context, dest string, r io.Reader, w io.Writer, o ReceiveOptions) error {
	if err := checkKeep(o.Keep); err != nil {
		return errors.Join(err, writeMessage(w, greeting{Rsbtbackup: "receive", Version: protocolVersion, failure: failureOf(err)}))
	}
	greeted := false
	err := store.Change(ctx, dest, "receive", o.LockWait, o.Now, o.Logger, func(c *store.Locked) error {
		state, err := c.Store.ReadState(time.Local)
		if err != nil {
			return fail.Step("read", err)
		}
		items, err := itemsOf(c.Store, state)
		if err != nil {
			return fail.Step("read", err)
		}
		greeted = true
		hello := greeting{Rsbtbackup: "receive", Version: protocolVersion, Dest: c.Store.Path, Backups: items, Keep: o.Keep}
		if err := writeMessage(w, hello); err != nil {
			return fail.Step("answer", err)
		}
		all, err := takeAll(ctx, c, bufio.NewReaderSize(r, receive.ReadAhead), w)
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
	})
	if err != nil && !greeted {
		hello := greeting{Rsbtbackup: "receive", Version: protocolVersion, failure: failureOf(err)}
		err = errors.Join(err, writeMessage(w, hello))
	}
	return err
}

// takeAll ends with r, and reports whether everything was sent. It also ends after an archive that could not be
// received, because the beginning of the next is unknown.
func takeAll(ctx context.Context, c *store.Locked, r *bufio.Reader, w io.Writer) (all bool, err error) {
	for {
		if next, _ := r.Peek(len(allSent)); len(next) == 0 || string(next) == allSent {
			return len(next) > 0, nil
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
	archive, err := openArchive(r)
	if err != nil {
		return nil, err
	}
	if archive.manifest == nil {
		return nil, errors.Join(facts.ErrArchive, errors.New("a copy comes with a first line that says what it is"))
	}
	return receiveOne(ctx, c, archive, archive.manifest.Name)
}
