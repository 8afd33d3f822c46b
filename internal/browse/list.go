// List: the backups in DEST, oldest first.

package browse

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/space"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Listing is rsbtbackup.Listing, where each field has its comment.
type Listing struct {
	Dest    string
	Backups []facts.Snapshot
	Pending bool
	Running bool
	Foreign []string
	Hidden  []string
	AtMost  bool
	Free    uint64
	Total   uint64
}

// List is rsbtbackup.List.
func List(ctx context.Context, dest string) (*Listing, error) {
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	l, err := list(s)
	return l, errors.Join(err, s.Close(), ctx.Err())
}

// ListSizes is rsbtbackup.ListSizes.
func ListSizes(ctx context.Context, dest string) (*Listing, error) {
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	l, err := list(s)
	if err == nil {
		err = fail.Step("measure space", measureEach(s, ctx, l))
	}
	return l, errors.Join(err, s.Close())
}

func list(s *store.Store) (*Listing, error) {
	st, err := s.ReadState(time.Local)
	if err != nil {
		return nil, fail.Step("read", err)
	}
	l := &Listing{Dest: s.Path, Backups: st.All(), Foreign: st.Foreign, Hidden: st.Hidden}
	if l.Pending = st.Pending.Kind == store.Subvolume && !st.Pending.PublishedAs(st.Newest()); l.Pending {
		running := s.RunningNow(mounts.ReadMount(s.Dir))
		l.Running = running != nil && running.Verb == "backup"
	}
	l.Free, l.Total, err = s.Space()
	return l, fail.Step("read", err)
}

// measureEach measures every backup against its two neighbours: data that neither of them has is in no other backup,
// because each descends from the one before it. This does not hold if one of them is hidden.
func measureEach(s *store.Store, ctx context.Context, l *Listing) error {
	if len(l.Hidden) > 0 {
		return nil
	}
	var backups []*facts.Snapshot
	for i := range l.Backups {
		if l.Backups[i].Unreadable == "" {
			backups = append(backups, &l.Backups[i])
		}
	}
	m := &space.Measurer{Store: s}
	for i, b := range backups {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var older, newer *facts.Snapshot
		if i > 0 {
			older = backups[i-1]
		}
		if i+1 < len(backups) {
			newer = backups[i+1]
		}
		added, freed, err := m.Sizes(ctx, b, older, newer, space.Going{b.ID: true})
		switch {
		case errors.Is(err, unix.EPERM):
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue // deleted meanwhile: nothing is locked
		case err != nil:
			return err
		}
		b.Exclusive = &freed
		if b.Added == nil {
			b.Added = &added
		}
	}
	l.AtMost = m.AtMost
	return nil
}
