// Odd files: names that share an inode number but are not one file, and files of size 0 that have content.

package backup

import (
	"context"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxApart is how many names are given to rsync as single rules: it compares each with every file.
const maxApart = 1000

// apart finds the names that rsync must not link to one file.
func (x filled) apart(ctx context.Context, odd *source.Oddities, beyond []string) ([]string, error) {
	root, err := os.OpenFile(x.src.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	paths, err := odd.Apart(ctx, root)
	if err != nil {
		return nil, err
	}
	if len(paths) > 0 {
		x.tell.Notice(fmt.Sprintf("%d names have the inode number of another file; they are separate files in the backup: %s", len(paths), say.QuoteSome(paths)))
	}
	if len(beyond) > 0 {
		x.tell.Notice(tooManyNames(x.dest.Path, len(beyond)))
	}
	paths = append(paths, beyond...)
	return paths, pending.PartNames(x.work, paths)
}

func tooManyNames(dest string, n int) string {
	return fmt.Sprintf("%s: %d names are more than a file can have on this btrfs, and are files of their own", dest, n)
}

// withoutApart excludes the names from a run that makes hard links; if they are too many, the run makes no hard links.
func withoutApart(opts rsyncexec.Options, paths []string) rsyncexec.Options {
	if len(paths) > maxApart {
		opts.HardLinks = false
		return opts
	}
	opts.Protect = slices.Clone(opts.Protect)
	for _, path := range paths {
		pattern := " /" + source.EscapePattern(path)
		opts.Protect = append(opts.Protect, "H"+pattern, "P"+pattern)
	}
	return opts
}

// copyApart copies the names that were excluded from the run before. Nothing is written in place: a linked name may be
// another file at the source by now.
func (x filled) copyApart(ctx context.Context, opts rsyncexec.Options, first transfer.End) transfer.End {
	opts.HardLinks, opts.Inplace, opts.WholeFile, opts.Sparse = false, false, true, true
	return x.rerun(ctx, opts, first)
}

// noticeEmpty names the files that are empty in the backup because the source reports size 0.
func (x filled) noticeEmpty(paths []string) error {
	empty, err := pending.Empty(x.work, paths)
	if len(empty) > 0 {
		x.tell.Notice(fmt.Sprintf("%s reported with size 0, but not empty; empty in the backup: %s", say.Are(len(empty), "file"), say.QuoteSome(empty)))
	}
	return fail.Step("check empty files", err)
}
