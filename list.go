// List: the backups in DEST, oldest first.

package rsbtbackup

import (
	"context"
	"time"
)

// Listing is what DEST holds.
type Listing struct {
	Dest    string     `json:"dest"`
	Backups []Snapshot `json:"backups"` // oldest first
	// Pending tells that an unfinished backup lies there: one that is being
	// made, or one that was interrupted and will be resumed or removed.
	Pending bool `json:"pending"`
	// Foreign are the other entries of DEST; they are never touched.
	Foreign []string `json:"foreign"`
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
	defer s.close()
	st, err := s.readState(time.Local)
	if err != nil {
		return nil, step("read", err)
	}
	return &Listing{Dest: s.path, Backups: st.backups, Pending: st.pending.kind == subvolume, Foreign: st.foreign}, ctx.Err()
}
