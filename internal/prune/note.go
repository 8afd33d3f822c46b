// The note on the prune before.

package prune

import (
	"encoding/json"
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// note is what the prune before has done.
type note struct {
	Version int `json:"version"` // 1
	Of      int `json:"of"`      // so many backups
	Deleted int `json:"deleted"`
}

// readNote returns nil if nothing is known of a prune before.
func readNote(s *store.Store) *note {
	var p note
	data, err := at.ReadFile(s.Log, store.PrunedName, 4096)
	if err != nil || json.Unmarshal(data, &p) != nil || p.Version != 1 {
		return nil
	}
	return &p
}

// writeNote is for the next run; without the note it has one clue less.
func writeNote(c *store.Locked, p note) {
	p.Version = 1
	data, err := json.Marshal(p)
	if err == nil {
		err = at.WriteFile(c.Store.Log, store.PrunedName, data, false)
	}
	if err != nil {
		c.Log.Warn("what was deleted is not noted for the next run", "error", fmt.Errorf("write %s: %w", store.PrunedName, err))
	}
}
