// The note about the last prune.

package prune

import "github.com/rsbtbackup/rsbtbackup/internal/store"

// note is what the last prune did.
type note struct {
	Version int `json:"version"` // 1
	Of      int `json:"of"`      // number of backups before it
	Deleted int `json:"deleted"`
}

// readNote returns nil if nothing is known about an earlier prune.
func readNote(s *store.Store) *note {
	var p note
	if !s.ReadNote(store.PrunedName, &p) || p.Version != 1 {
		return nil
	}
	return &p
}

// writeNote is for the next run, which compares its deletions with those of this one.
func writeNote(c *store.Locked, p note) {
	p.Version = 1
	if err := c.Store.WriteNote(store.PrunedName, p); err != nil {
		c.Log.Warn("the number of deleted backups could not be stored for the next run", "error", err)
	}
}
