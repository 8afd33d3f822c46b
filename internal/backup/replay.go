// Renames: files that moved at the source are moved in pending, so that they are not copied.

package backup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/rename"
)

// replay returns how many directories and files it moved.
func (x filled) replay(ctx context.Context) (int, error) {
	if x.walked == nil || len(x.walked.Moves) == 0 || !maySkipCopying(x.plan) {
		return 0, nil
	}
	var moves []rename.Move
	for _, m := range x.walked.Moves {
		moves = append(moves, rename.Move(m))
	}
	listed := func(string) bool { return true }
	if !x.full() {
		listed = x.listed().Has()
	}
	made, err := rename.NewPlan(moves, listed).Apply(ctx, x.work)
	x.tell.Log.Info("repeated renames of the source", "found", len(moves), "made", made)
	return made, err
}
