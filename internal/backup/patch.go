package backup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/blocks"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
)

// patch copies only what is new in large files, where that is known, and rsync does not read them. It returns what is
// known of the source, without the doubts that were settled. A full run checks the others, so nothing is copied in it.
func (x filled) patch(ctx context.Context) (s scanned, err error) {
	s = x.scanned
	if s.large == nil {
		return s, nil
	}
	how := blocks.How{Copy: s.use && s.walked.ByGeneration && maySkipCopying(x.plan) && !x.o.WholeFiles, Doubts: s.doubts, Step: transfer.Step(ctx, x.o.Bwlimit, x.o.Progress), Log: x.tell.Log}
	s.patched, err = s.large.Update(ctx, s.root, x.work, how)
	s.doubts = s.patched.Doubts
	return s, fail.Step("copy changed blocks of large files", err)
}
