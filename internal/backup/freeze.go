// Freezing: the rest of a run reads a snapshot of the source, if that was asked for.

package backup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/freeze"
)

// freeze takes a snapshot of the source, for thaw to remove.
func (x equipped) freeze(ctx context.Context) (equipped, error) {
	if !x.o.SnapshotSource && !x.o.SnapshotNested {
		return x, nil
	}
	src, frozen, err := freeze.Take(ctx, x.src, freeze.Options{
		Nested: x.o.SnapshotNested, OneFileSystem: x.o.OneFileSystem, LeftOut: x.o.leftOut(),
		Before: x.o.BeforeSnapshot, After: x.o.AfterSnapshot, Log: x.tell.Log,
	})
	if err != nil {
		return x, fail.Step("take snapshot of SRC", err)
	}
	x.src, x.frozen = src, frozen
	x.tell.Log.Info("reading a snapshot of the source", "path", src.Spec.Path)
	return x, nil
}

// thaw removes the snapshot, however the run has ended.
func (x equipped) thaw() {
	if err := x.frozen.Remove(context.Background()); err != nil {
		x.tell.Notice("the snapshot of SRC could not be removed, which the next run does: " + err.Error())
	}
}
