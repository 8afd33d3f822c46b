// A second look: which files are gone from the source, although some of it could not be read. rsync deletes nothing
// then.

package backup

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// deleteElsewhere removes files from pending that are gone from the source, except unreadable ones and everything below
// them. A dry run of rsync lists what it would delete without read errors. What the dry run could not read is kept too,
// and if it complains about anything else, nothing is removed.
func (x filled) deleteElsewhere(ctx context.Context, opts rsyncexec.Options, end transfer.End) (transfer.End, error) {
	if !end.Partial() || !end.Unread.DeletionsSkipped || end.Result.Stats.Files < 2 {
		return end, nil
	}
	end.Kept = true // until the files were removed
	var gone []string
	asked := transfer.AsQuery(opts)
	asked.IgnoreErrors = true
	asked.Changes = func(c rsyncexec.Change) {
		if c.Code == "*deleting" {
			gone = append(gone, strings.TrimSuffix(c.Path, "/"))
		}
	}
	second := x.quietly(ctx, asked)
	unread := end.Unread.And(second.Unread)
	if ctx.Err() != nil || !second.Useful() || unread.Unclear {
		return end, nil
	}
	root := ""
	if x.src.Local() {
		root = x.src.Spec.Path
	}
	gone = slices.DeleteFunc(gone, unread.Spares(root))
	if opts.MaxDelete != nil && end.Stats != nil && int64(len(gone)) > *opts.MaxDelete-end.Stats.Deleted {
		end.Stopped = true
		return end, nil
	}
	deleted, err := pending.RemoveGone(ctx, x.work, gone)
	if err != nil {
		return end, fail.Step("delete files that are not in the source", err)
	}
	x.tell.Log.Info("deleted files that are not in the source, except below directories that could not be read", "deleted", deleted)
	end.Kept = false
	return end.After(transfer.End{Stats: &rsyncexec.Stats{Deleted: deleted}}), nil
}

// quietly runs rsync as a query; its complaints are not logged, because another run has them too.
func (x filled) quietly(ctx context.Context, opts rsyncexec.Options) transfer.End {
	quiet := x
	quiet.tell = &say.Teller{Log: slog.New(slog.DiscardHandler)}
	return quiet.run(ctx, opts)
}
