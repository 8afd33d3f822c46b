// The note about the last prune.

package prune

import (
	"encoding/json"
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// note is what the last prune did.
type note struct {
	Version int `json:"version"` // 1
	Of      int `json:"of"`      // number of backups before it
	Deleted int `json:"deleted"`
}

// readNote returns nil if nothing is known about an earlier prune.
func readNote(s *store.Store) *note {
	var p note
	data, err := at.ReadFile(s.Log, store.PrunedName, 4096)
	if err != nil || json.Unmarshal(data, &p) != nil || p.Version != 1 {
		return nil
	}
	return &p
}

// writeNote is for the next run, which compares its deletions with those of this one.
func writeNote(c *store.Locked, p note) {
	p.Version = 1
	data, err := json.Marshal(p)
	if err == nil {
		err = at.WriteFile(c.Store.Log, store.PrunedName, data, false)
	}
	if err != nil {
		c.Log.Warn("cannot note for the next run how many backups were deleted", "error", fmt.Errorf("write %s: %w", store.PrunedName, err))
	}
}
