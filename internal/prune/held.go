// Held: what min-free has deleted gives no space back while a program has something open in it. What others delete on
// the same filesystem is theirs.

package prune

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// heldUp stops before more goes than it takes: how much is to come is not known.
func (p pruned) heldUp(dest string, o Options, ours map[uint64]string) (pruned, error) {
	p.decisions = stop(p.decisions, "what is deleted has not given its space back")
	name := ours[slices.Min(slices.Collect(maps.Keys(ours)))]
	return p, fail.Step("min-free", &facts.HeldError{Backup: name, Text: fmt.Sprintf("%s, less than %v, but the space of %s, which is deleted, is still to come: a program has something open in it; so nothing more is deleted", p.text(dest), o.MinFree, name)})
}

// ownHeld returns, with the names they had, those of held that this run has deleted, or that held up an earlier one.
// Any other may be a container's and stay for ever. A filesystem never uses a subvolume id twice.
func ownHeld(s *store.Store, held []uint64, p pruned) map[uint64]string {
	names := readHeld(s)
	for _, d := range p.decisions {
		if slices.Contains(p.deleted, d.Name) {
			names[d.ID] = d.Name
		}
	}
	maps.DeleteFunc(names, func(id uint64, _ string) bool { return !slices.Contains(held, id) })
	return names
}

// readHeld returns no names where there is no note that can be read.
func readHeld(s *store.Store) map[uint64]string {
	names := map[uint64]string{}
	data, err := at.ReadFile(s.Log, store.HeldName, 64<<10)
	if err != nil || json.Unmarshal(data, &names) != nil || names == nil {
		return map[uint64]string{}
	}
	return names
}

// noteHeld is for the next run, which must not delete more in their place. A note that cannot be written costs no more
// than that.
func noteHeld(c *store.Locked, ours map[uint64]string) {
	data, err := json.Marshal(ours)
	if err == nil {
		err = at.WriteFile(c.Store.Log, store.HeldName, data, false)
	}
	if err != nil {
		c.Log.Warn("what is in use is not noted for the next run", "error", err)
	}
}
