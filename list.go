// List: the backups in DEST, oldest first.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Listing is what DEST holds.
type Listing struct {
	Dest    string     `json:"dest"`
	Backups []Snapshot `json:"backups"` // oldest first
	// Pending tells that an unfinished backup lies there: one that is being
	// made, or one that was interrupted and will be resumed or removed.
	Pending bool `json:"pending"`
	// Running tells that it is being made.
	Running bool `json:"running"`
	// Foreign are the other entries of DEST; they are never touched.
	Foreign []string `json:"foreign"`
	// Hidden are those of them that are called like a backup and are, or hide,
	// one, as something is mounted on them.
	Hidden []string `json:"hidden"`
	Free   uint64   `json:"free"`  // bytes, as statfs tells an ordinary user
	Total  uint64   `json:"total"` // bytes
}

// List reads DEST. It takes no lock and changes nothing, so it never waits
// for a running backup, and works on a read-only mount. It needs read access
// to DEST and .log.
//
// Errors match ErrDest, ErrNotBtrfs or ErrNotInitialized.
func List(ctx context.Context, dest string) (*Listing, error) {
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	l, err := s.list()
	return l, errors.Join(err, s.close(), ctx.Err())
}

// ListSizes is List with Exclusive filled in for each backup, and Added where
// the record does not have it. It looks at every extent that a backup does not
// share with the one before it, so it takes longer the more has changed. Both
// stay nil for everybody but root, whom alone the kernel tells, and while
// something is mounted on a backup.
func ListSizes(ctx context.Context, dest string) (*Listing, error) {
	s, err := openStore(dest)
	if err != nil {
		return nil, err
	}
	l, err := s.list()
	if err == nil {
		err = step("measure", s.measureEach(ctx, l))
	}
	return l, errors.Join(err, s.close())
}

func (s *store) list() (*Listing, error) {
	st, err := s.readState(time.Local)
	if err != nil {
		return nil, step("read", err)
	}
	l := &Listing{Dest: s.path, Backups: st.all(), Foreign: st.foreign, Hidden: st.hidden}
	if l.Pending = st.pending.kind == subvolume && !st.pending.publishedAs(st.newest()); l.Pending {
		running := s.runningNow(readMount(s.dir))
		l.Running = running != nil && running.Verb == "backup"
	}
	l.Free, l.Total, err = s.space()
	return l, step("read", err)
}

// measureEach measures every backup on its own, against its two neighbours:
// what neither of them has, no other has either, since each descends from the
// one before it.
// With one of them hidden that is not so.
func (s *store) measureEach(ctx context.Context, l *Listing) error {
	if len(l.Hidden) > 0 {
		return nil
	}
	var backups []*Snapshot
	for i := range l.Backups {
		if l.Backups[i].Unreadable == "" {
			backups = append(backups, &l.Backups[i])
		}
	}
	m := &measurer{store: s}
	for i, b := range backups {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var older, newer *Snapshot
		if i > 0 {
			older = backups[i-1]
		}
		if i+1 < len(backups) {
			newer = backups[i+1]
		}
		added, freed, err := m.sizes(b, older, newer)
		switch {
		case errors.Is(err, unix.EPERM):
			return nil
		case errors.Is(err, fs.ErrNotExist):
			continue // deleted while we look: nothing is locked
		case err != nil:
			return err
		}
		b.Exclusive = &freed
		if b.Added == nil {
			b.Added = &added
		}
	}
	return nil
}
