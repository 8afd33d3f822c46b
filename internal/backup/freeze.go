// Freezing: the rest of a run reads a snapshot of the source, if asked for.

package backup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/freeze"
)

func (x read) freezeOptions() freeze.Options {
	return freeze.Options{
		Asked: x.o.SnapshotSource || x.o.SnapshotNested, Nested: x.o.SnapshotNested, OneFileSystem: x.o.OneFileSystem, LeftOut: x.o.leftOut(),
		Before: x.o.BeforeSnapshot, After: x.o.AfterSnapshot, Log: x.tell.Log,
	}
}

// freeze makes a snapshot of the source, which thaw removes.
func (x equipped) freeze(ctx context.Context) (_ equipped, err error) {
	x.src, x.frozen, err = freeze.Take(ctx, x.src, x.freezeOptions())
	return x, fail.Step("take snapshot of SRC", err)
}

// thaw removes the snapshot, at the end of every run.
func (x equipped) thaw() {
	if err := x.frozen.Remove(context.Background()); err != nil {
		x.tell.Notice("the snapshot of SRC could not be removed; the next run removes it: " + err.Error())
	}
}
