package transfer

import (
	"context"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Included asks rsync which directories of a list (see rsyncexec.Options.FilesFrom), and below those, it would copy to
// opts.Dest, where there is nothing.
func Included(ctx context.Context, opts rsyncexec.Options, list []byte) (map[string]bool, error) {
	opts.Delete, opts.HardLinks, opts.ACLs, opts.Xattrs, opts.Progress, opts.MaxDelete = false, false, false, false, nil, nil
	opts.DryRun, opts.Recursive, opts.FilesFrom = true, true, list
	dirs := map[string]bool{}
	opts.Changes = func(c rsyncexec.Change) {
		if dir, ok := strings.CutSuffix(c.Path, "/"); ok {
			dirs[dir] = true
		}
	}
	_, err := rsyncexec.Run(ctx, opts)
	return dirs, err
}
