package replica

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/archive"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// news is what became known about a backup after it was copied. It can add a pin, but not remove one: whoever has the
// key of a target must not expose copies to its rules.
type news struct {
	News     string              `json:"news"` // the name of the copy; begins with it
	UUID     btrfs.UUID          `json:"uuid"` // its Origin
	Pin      *facts.PinInfo      `json:"pin,omitempty"`
	Verified *facts.Verification `json:"verified,omitempty"`
}

const (
	canHear    = "news" // this ability, as sent in a greeting
	startsNews = `{"news":`
	maxNews    = 64 << 10
	maxNote    = 4 << 10
)

// known is the part of an Item that may be news.
type known struct {
	Pin      *facts.PinInfo      `json:"pin,omitempty"`
	Verified *facts.Verification `json:"verified,omitempty"`
	// Of a copy: the pin that was last passed on, and the verdict.
	PinnedAt time.Time `json:"pinned_at,omitzero"`
	HeardAt  time.Time `json:"heard_at,omitzero"`
}

func knownOf(b facts.Snapshot) (k known) {
	if r := b.Record; r != nil {
		k.Pin, k.Verified = r.Pin, r.Verified
		if c := r.Copied; c != nil {
			k.PinnedAt = c.PinnedAt
			if v := c.Verified; v != nil {
				k.HeardAt, k.Verified = v.At, cmp.Or(k.Verified, v)
			}
		}
	}
	return k
}

// newsOf is what the copy lacks, or nil. A pin that was passed on before and is missing was removed in the target, and
// is not passed on again. It is pure.
func newsOf(from, there Item) *news {
	if there.Origin == there.UUID || there.Hidden {
		return nil // it is not a copy, but the original of the others; or it is passed on later
	}
	n := news{News: there.Name, UUID: there.Origin}
	if pin := from.Known.Pin; pin != nil && !pin.At.Equal(there.Known.PinnedAt) {
		n.Pin = pin
	}
	if v := from.Known.Verified; v != nil && v.At.After(there.Known.HeardAt) {
		n.Verified = v
	}
	if n.Pin == nil && n.Verified == nil {
		return nil
	}
	return &n
}

// withoutReasons removes what the receiving side does not send: the notes of pins, and verdicts.
func withoutReasons(items []Item) []Item {
	items = slices.Clone(items)
	for i := range items {
		items[i].Known.Pin, items[i].Known.Verified, items[i].Damaged = nil, nil, false
	}
	return items
}

// what describes it for the user.
func (n news) what() []string {
	var what []string
	if n.Pin != nil {
		what = append(what, "pin")
	}
	if n.Verified != nil {
		what = append(what, "verdict")
	}
	return what
}

// check verifies all values, because the holder of a key may send anything.
func (n news) check(now time.Time) error {
	switch {
	case n.Pin == nil && n.Verified == nil:
		return fmt.Errorf("%w: nothing to pass on of %q", facts.ErrArchive, n.News)
	case n.Pin != nil && (len(n.Pin.Note) > maxNote || n.Pin.At.IsZero() || n.Pin.At.After(now.Add(archive.ClocksDiffer))):
		return fmt.Errorf("%w: a pin of %s with a note of %d bytes", facts.ErrArchive, n.Pin.At.Format(time.RFC3339), len(n.Pin.Note))
	case n.Verified != nil && (n.Verified.At.After(now.Add(archive.ClocksDiffer)) ||
		!slices.Contains([]facts.VerifyResult{facts.Clean, facts.Damaged, facts.NotVerified}, n.Verified.Result)):
		return fmt.Errorf("%w: a verdict %q of %s", facts.ErrArchive, n.Verified.Result, n.Verified.At.Format(time.RFC3339))
	}
	return nil
}

// hear records news about a copy from another DEST.
func hear(ctx context.Context, c *store.Locked, n news) error {
	if err := n.check(c.Now.UTC()); err != nil {
		return err
	}
	state, err := c.Store.ReadState(c.Now.Location())
	if err != nil {
		return err
	}
	items, err := itemsOf(c.Store, state)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(items, func(i Item) bool { return i.Name == n.News && i.Origin == n.UUID && i.Origin != i.UUID })
	if i < 0 {
		return fail.Kindf(facts.ErrNoBackup, "no copy is called %q", n.News)
	}
	b, err := store.Find(state.All(), n.News)
	if err == nil {
		err = c.Store.WriteNews(ctx, b, n.Pin, n.Verified)
	}
	if err == nil {
		c.Log.Info("news", "backup", n.News, "of", n.what())
	}
	return err
}

// hearOne answers one message.
func hearOne(ctx context.Context, c *store.Locked, line []byte, w io.Writer) error {
	var n news
	err := json.Unmarshal(line, &n)
	if err == nil {
		err = hear(ctx, c, n)
	}
	if err != nil {
		err = fail.Step("receive", err)
		return errors.Join(err, writeMessage(w, answer{failure: failureOf(err)}))
	}
	return writeMessage(w, answer{Received: n.News})
}
