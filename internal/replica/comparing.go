package replica

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/twin"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// A comparison consists of questions and answers of one line each. The side with the backup describes its entries, and
// the other side answers which of them differ in the copy. So the side that asks learns nothing that it has not
// described.
type question struct {
	Compare  string       `json:"compare,omitempty"` // the name of a copy; begins with it
	UUID     btrfs.UUID   `json:"uuid,omitzero"`     // its Origin
	Entries  []twin.Entry `json:"entries,omitempty"`
	Contents [][]byte     `json:"contents,omitempty"` // of the files that the last answer asked for
	Over     bool         `json:"over,omitempty"`     // with this copy
}

type response struct {
	twin.Reply
	failure
}

const (
	canCompare = "compare" // this ability, as sent in a greeting
	batchSize  = 256
	batchBytes = 256 << 30 // all of it may have to be read for one answer
	maxBatch   = 32 << 20
	startsWith = `{"compare":` // which archives and the end of all do not have
)

// answerQuestions compares one copy of s. It changes nothing and takes no lock.
func answerQuestions(ctx context.Context, s *store.Store, items []Item, r *bufio.Reader, w io.Writer) error {
	first, err := readQuestion(r)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(items, func(i Item) bool { return i.Name == first.Compare && i.Origin == first.UUID })
	if i < 0 {
		err := fail.Kindf(facts.ErrNoBackup, "no backup is called %q", first.Compare)
		return errors.Join(err, writeMessage(w, response{failure: failureOf(err)}))
	}
	err = withTree(s, items[i].Name, func(tree *twin.Tree) error {
		if err := writeMessage(w, response{}); err != nil {
			return err
		}
		return answerEach(ctx, twin.NewAnswering(tree), r, w)
	})
	if err != nil {
		return errors.Join(err, writeMessage(w, response{failure: failureOf(err)}))
	}
	return nil
}

func readQuestion(r *bufio.Reader) (q question, err error) {
	line, err := archive.ReadLine(r, maxBatch)
	if err == nil {
		err = json.Unmarshal(line, &q)
	}
	return q, err
}

func answerEach(ctx context.Context, copied *twin.Answering, r *bufio.Reader, w io.Writer) error {
	for {
		q, err := readQuestion(r)
		var reply twin.Reply
		switch {
		case err != nil:
			return err
		case q.Over:
			return writeMessage(w, response{})
		case q.Contents != nil:
			reply, err = copied.Contents(ctx, q.Contents)
		default:
			reply, err = copied.Entries(ctx, q.Entries)
		}
		if err != nil {
			return err
		}
		if err := writeMessage(w, response{Reply: reply}); err != nil {
			return err
		}
	}
}

// withHost compares with a target on another host. It runs the sending side there, which changes nothing and takes no
// lock; a key may be restricted to the receiving side.
func (m *matching) withHost(ctx context.Context, where rsyncexec.Source) error {
	other, err := m.dial(ctx, where, "send")
	if err != nil {
		return err
	}
	hello, err := other.greet("")
	if other.greeted {
		m.report.Target, m.there = hostOf(where)+":"+hello.Dest, hello.Backups
		if err == nil && !slices.Contains(hello.Can, canCompare) {
			err = fail.Kindf(facts.ErrUsage, "the rsbtbackup on %s is older and cannot compare: install the same on both", hostOf(where))
		}
		err = fail.Step("TARGET", err)
	}
	if err == nil {
		err = m.all(ctx, func(ctx context.Context, tree *twin.Tree, copied Item, account *twin.Account) error {
			return (&asking{far: other, tree: tree, account: account, missing: map[string]bool{}}).compare(ctx, copied)
		})
	}
	return other.hangUp(ctx, err)
}

// asking is the side that has the backup.
type asking struct {
	*far
	tree    *twin.Tree
	account *twin.Account
	missing map[string]bool // directories that the copy lacks: their entries are not sent

	mu    sync.Mutex
	batch []twin.Entry
	size  uint64 // of the files in it
}

func (a *asking) compare(ctx context.Context, copied Item) error {
	if _, err := a.ask(question{Compare: copied.Name, UUID: copied.Origin}); err != nil {
		return err
	}
	talking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	batches := make(chan []twin.Entry, 1)
	over := make(chan error, 1)
	go func() { over <- a.askAll(talking, stop, batches) }()
	add := func(e twin.Entry) (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.batch, a.size = append(a.batch, e), a.size+uint64(e.Size)
		if len(a.batch) < batchSize && a.size < batchBytes {
			return true, nil
		}
		return true, a.pass(talking, batches)
	}
	err := a.tree.Walk(talking, add, a.account.Unread)
	if err == nil && len(a.batch) > 0 {
		err = a.pass(talking, batches)
	}
	close(batches)
	if askErr := <-over; askErr != nil {
		return askErr
	}
	if err == nil {
		_, err = a.ask(question{Over: true})
	}
	return err
}

func (a *asking) pass(ctx context.Context, batches chan<- []twin.Entry) error {
	batch := a.batch
	a.batch, a.size = nil, 0
	select {
	case batches <- batch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *asking) askAll(ctx context.Context, stop context.CancelCauseFunc, batches <-chan []twin.Entry) error {
	for batch := range batches {
		if err := a.askOne(ctx, batch); err != nil {
			stop(err)
			return err
		}
	}
	return nil
}

func (a *asking) ask(q question) (twin.Reply, error) {
	if err := a.far.tell(q); err != nil {
		return twin.Reply{}, a.closed(err)
	}
	var got response
	if err := a.hear(maxBatch, &got); err != nil {
		return got.Reply, err
	}
	return got.Reply, got.err()
}

// closed finds out why the other side stopped reading.
func (a *asking) closed(err error) error {
	var got response
	if a.hear(maxBatch, &got) == nil && got.err() != nil {
		return got.err()
	}
	return err
}

func (a *asking) askOne(ctx context.Context, batch []twin.Entry) error {
	reply, err := a.ask(question{Entries: batch})
	if err != nil {
		return err
	}
	tally := twin.Tally{Names: int64(len(batch)), Files: reply.BySums, BySums: reply.BySums}
	if err := a.note(batch, reply); err != nil {
		return err
	}
	if len(reply.Read) > 0 {
		if err := a.contents(ctx, batch, reply.Read, &tally); err != nil {
			return err
		}
	}
	a.account.Add(tally)
	return nil
}

// contents reads the files that the other side asks for; that side then reads its own.
func (a *asking) contents(ctx context.Context, batch []twin.Entry, read []int, tally *twin.Tally) error {
	sums := make([][]byte, len(read))
	for i, n := range read {
		if n < 0 || n >= len(batch) {
			return fmt.Errorf("%w: it asks for entry %d of %d", facts.ErrArchive, n, len(batch))
		}
		sum, bytes, err := a.tree.Hash(ctx, string(batch[n].Path))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		tally.Bytes += bytes
		if err != nil {
			_ = a.account.Unread("", err)
			continue
		}
		tally.Files, tally.ByReading, sums[i] = tally.Files+1, tally.ByReading+1, sum
	}
	reply, err := a.ask(question{Contents: sums})
	if err != nil {
		return err
	}
	return a.note(batch, reply)
}

func (a *asking) note(batch []twin.Entry, reply twin.Reply) error {
	for _, u := range reply.Unlike {
		if u.N < 0 || u.N >= len(batch) {
			return fmt.Errorf("%w: it names entry %d of %d", facts.ErrArchive, u.N, len(batch))
		}
		name := string(batch[u.N].Path)
		switch {
		case u.Unread != "":
			_ = a.account.Unread(name, errors.New("on the other host: "+u.Unread))
		case slices.Contains(u.What, twin.Missing):
			below := a.missing[path.Dir(name)]
			if batch[u.N].IsDir() {
				a.missing[name] = true
			}
			if !below {
				a.account.Differs(name, u.What...)
			}
		default:
			a.account.Differs(name, u.What...)
		}
	}
	return nil
}
