package transfer

import (
	"context"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// AsQuery is rsync asked for what it would do, by sizes and times alone: what it says of files is the same without what
// takes time to find out.
func AsQuery(opts rsyncexec.Options) rsyncexec.Options {
	opts.DryRun, opts.Checksum, opts.HardLinks, opts.ACLs, opts.Xattrs = true, false, false, false, false
	opts.MaxDelete, opts.Progress = nil, nil
	return opts
}

// Included asks rsync which directories of a list (see rsyncexec.Options.FilesFrom), and below those, it would copy to
// opts.Dest, where there is nothing.
func Included(ctx context.Context, opts rsyncexec.Options, list []byte) (map[string]bool, error) {
	opts = AsQuery(opts)
	opts.Delete, opts.Recursive, opts.FilesFrom = false, true, list
	dirs := map[string]bool{}
	opts.Changes = func(c rsyncexec.Change) {
		if dir, ok := strings.CutSuffix(c.Path, "/"); ok {
			dirs[dir] = true
		}
	}
	_, err := rsyncexec.Run(ctx, opts)
	return dirs, err
}
