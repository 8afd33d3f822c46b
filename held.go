// Held: what min-free has deleted gives no space back while a program has
// something open in it. What others delete on the same filesystem is theirs.

package rsbtbackup

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/dustin/go-humanize"
)

// A HeldError: a deleted backup gives its space back when the last program that
// has something open in it, or has mounted it, lets go.
type HeldError struct {
	Backup string // the name it had
	text   string
}

func (e *HeldError) Error() string { return e.text }

// Unwrap files it under ErrNoSpace.
func (e *HeldError) Unwrap() error { return ErrNoSpace }

// heldUp stops before more goes than it takes: how much is to come is not known.
func (o *PruneOptions) heldUp(dest string, ours map[uint64]string, report *PruneReport) error {
	report.explainKept("what is deleted has not given its space back")
	name := ours[slices.Min(slices.Collect(maps.Keys(ours)))]
	return &HeldError{name, fmt.Sprintf("%s has %s of %s free, less than %v, but the space of %s, which is deleted, is still to come: a program has something open in it; so nothing more is deleted", dest, humanize.Bytes(report.Free), humanize.Bytes(report.Total), o.MinFree, name)}
}

// ownHeld returns, with the names they had, those of held that this run has
// deleted, or that held up an earlier one. Any other may be a container's and
// stay for ever. A filesystem never uses a subvolume id twice.
func (s *store) ownHeld(held []uint64, report *PruneReport) map[uint64]string {
	names := s.readHeld()
	for _, d := range report.Decisions {
		if slices.Contains(report.Deleted, d.Name) {
			names[d.ID] = d.Name
		}
	}
	maps.DeleteFunc(names, func(id uint64, _ string) bool { return !slices.Contains(held, id) })
	return names
}

// readHeld returns no names where there is no note that can be read.
func (s *store) readHeld() map[uint64]string {
	names := map[uint64]string{}
	data, err := readFileAt(s.log, heldName, 64<<10)
	if err != nil || json.Unmarshal(data, &names) != nil || names == nil {
		return map[uint64]string{}
	}
	return names
}

// noteHeld is for the next run, which must not delete more in their place. A
// note that can not be written costs no more than that.
func (c *changing) noteHeld(ours map[uint64]string) {
	data, err := json.Marshal(ours)
	if err == nil {
		err = writeFileAt(c.store.log, heldName, data, false)
	}
	if err != nil {
		c.log.Warn("what is in use is not noted for the next run", "error", err)
	}
}
