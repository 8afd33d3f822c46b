// Sparse: files with holes, which are copied before rsync runs, and the zeros that rsync writes where that was not
// possible.

package backup

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// copySparse updates the files with holes at paths, except excluded ones, and returns what it did.
func (x filled) copySparse(ctx context.Context, opts rsyncexec.Options, paths []string) (pending.SparseCopied, error) {
	paths = x.chosen(ctx, opts, paths)
	if len(paths) == 0 || ctx.Err() != nil {
		return pending.SparseCopied{}, nil
	}
	root, err := os.OpenFile(x.src.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return pending.SparseCopied{}, fail.Kind(facts.ErrSource, err)
	}
	defer root.Close()
	slices.Sort(paths)
	copied, err := pending.CopySparse(ctx, root, x.work, paths, transfer.Step(ctx, x.o.Bwlimit, x.o.Progress))
	x.tell.Log.Info("copied files with holes", "files", copied.Files, "size", copied.Size, "written", copied.Written)
	return copied, err
}

// chosen are those of paths that rsync would copy. If there are rules, a dry run of rsync that compares only sizes and
// times is asked; if it fails, the transfer reports why.
func (x filled) chosen(ctx context.Context, opts rsyncexec.Options, paths []string) []string {
	leftOut := rsyncexec.LeftOut(opts.Filter, opts.Exclude, opts.Extra)
	paths = slices.DeleteFunc(paths, func(path string) bool { return source.IsLeftOut(path, leftOut) })
	rules := len(x.src.Views)+len(opts.Filter)+len(opts.Exclude)+len(opts.ExcludeFrom)+len(opts.Extra) > 0
	switch {
	case len(paths) == 0 || !rules:
		return paths
	case rsyncexec.ComparesAll(opts.Extra):
		return nil // rsync would read everything for the answer
	}
	wanted, chosen := map[string]bool{}, []string{}
	for _, path := range paths {
		wanted[path] = true
	}
	opts = transfer.AsQuery(opts)
	opts.Delete = false
	opts.Changes = func(c rsyncexec.Change) {
		if strings.HasPrefix(c.Code, ">f") && wanted[c.Path] {
			chosen = append(chosen, c.Path)
		}
	}
	x.quietly(ctx, opts)
	return chosen
}

// withCopied adds what was copied before rsync ran.
func withCopied(end transfer.End, copied pending.SparseCopied) transfer.End {
	if end.Stats == nil {
		return end
	}
	return end.After(transfer.End{Stats: &rsyncexec.Stats{
		Created: copied.Created, Transferred: copied.Files, TransferredSize: copied.Size, Literal: copied.Written,
	}})
}

// roomGained is how much space must have become free for another attempt.
const roomGained = 4 << 20

// withMoreRoom continues after rsync has filled the disk, as long as the disk was filled with zeros that can become
// holes.
func (x filled) withMoreRoom(ctx context.Context, opts rsyncexec.Options, end transfer.End) (transfer.End, error) {
	for end.NoSpace && !errors.Is(end.Err, rsyncexec.ErrStillRunning) && ctx.Err() == nil {
		gained, err := x.punchForRoom(ctx)
		if err != nil || gained < roomGained {
			return end, err
		}
		x.tell.Log.Info("rsync runs again, because zeros had filled the disk")
		if end, err = x.again(ctx, opts, end); err != nil {
			return end, err
		}
	}
	return end, nil
}

// punchForRoom returns how much space it freed.
func (x filled) punchForRoom(ctx context.Context) (gained int64, err error) {
	before, _, err := x.dest.Space()
	if err != nil {
		return 0, fail.Step("measure space", err)
	}
	if err := x.writtenOut(); err != nil {
		return 0, err
	}
	begin := func() error { return nil } // the note says that pending is written to
	changed, err := pending.PunchHoles(ctx, x.work, x.src, x.plan.since(), begin)
	if err != nil || !changed {
		return 0, fail.Step("punch holes", err)
	}
	if err := x.writtenOut(); err != nil {
		return 0, err
	}
	after, _, err := x.dest.Space()
	return int64(after) - int64(before), fail.Step("measure space", err)
}
