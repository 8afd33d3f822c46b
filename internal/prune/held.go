// Held: the space of a backup that min-free has deleted is not free while a program has a file in it open. Subvolumes
// that other programs deleted on the same filesystem do not count.

package prune

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// heldUp stops min-free before it deletes too much: how much space will still become free is not known.
func (p pruned) heldUp(dest string, o Options, ours map[uint64]string) (pruned, error) {
	p.decisions = stop(p.decisions, "the space of deleted backups is not free yet")
	name := ours[slices.Min(slices.Collect(maps.Keys(ours)))]
	return p, fail.Step("--min-free", &facts.HeldError{Backup: name, Text: fmt.Sprintf("%s, less than %v, but the space of %s, which is deleted, is not free yet: a program has a file in it open; so nothing more is deleted", p.text(dest), o.MinFree, name)})
}

// ownHeld returns, with the names they had, the subvolumes in held that this run or an earlier one has deleted. Others
// may belong to a container and be held forever. A filesystem never reuses a subvolume id.
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

// readHeld returns no names if there is no readable note.
func readHeld(s *store.Store) map[uint64]string {
	names := map[uint64]string{}
	if !s.ReadNote(store.HeldName, &names) || names == nil {
		return map[uint64]string{}
	}
	return names
}

// noteHeld writes a note for the next run, which must not delete others instead. If it cannot be written, the next run
// may delete too much.
func noteHeld(c *store.Locked, ours map[uint64]string) {
	if err := c.Store.WriteNote(store.HeldName, ours); err != nil {
		c.Log.Warn("the list of deleted backups that are in use could not be stored for the next run", "error", err)
	}
}
