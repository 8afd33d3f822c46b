// Renames: files that moved at the source are moved in pending, so that they are not copied.

package backup

import (
	"context"
	"os"

	"github.com/rsbtbackup/rsbtbackup/internal/changed"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/rename"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
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

// isDone reports whether the moves have left nothing to do for rsync. Rules are rsync's to apply, and an ordinary user
// cannot read all that must be compared.
func (x filled) isDone(ctx context.Context, o rsyncexec.Options) bool {
	ruled := len(o.Protect)+len(o.Filter)+len(o.Exclude)+len(o.ExcludeFrom)+len(o.Extra) > 0 || o.OneFileSystem
	if x.moved == 0 || len(x.list.Names)+len(x.doubts) > 0 || ruled || o.Checksum || os.Geteuid() != 0 {
		return false
	}
	part := changed.Part{Dirs: x.listed().Dirs, Names: x.list.Ways()}
	// If there is an error, rsync reports what is wrong.
	return pending.CopyDirTimes(x.root, x.work, part.Names) == nil && changed.Differs(ctx, x.root, x.work, &part) == ""
}
