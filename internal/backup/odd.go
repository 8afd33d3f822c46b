// Odd files: names that share an inode number and are not one file, and files
// that say they are empty and are not.

package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// maxApart is how many names are passed to rsync one by one: it compares each with every file.
const maxApart = 1000

// apart finds the names that rsync must not take for one file.
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
		x.tell.Notice(fmt.Sprintf("%d names have an inode number that is another file's too, and are files of their own: %s", len(paths), say.QuoteSome(paths)))
	}
	if len(beyond) > 0 {
		x.tell.Notice(tooManyNames(x.dest.Path, len(beyond)))
	}
	paths = append(paths, beyond...)
	return paths, x.partNames(paths)
}

func tooManyNames(dest string, n int) string {
	return fmt.Sprintf("%s: %d names are more than a file can have on this btrfs, and are files of their own", dest, n)
}

// partNames removes from pending those names that are one file there.
func (x filled) partNames(paths []string) error {
	for _, path := range paths {
		dir, err := at.OpenBeneath(x.work, filepath.Dir(path))
		if at.IsNoDir(err) {
			continue
		}
		if err != nil {
			return err
		}
		st, err := at.Stat(dir, filepath.Base(path))
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 1 {
			err = at.Unlink(dir, filepath.Base(path), 0)
		}
		if err := errors.Join(at.IgnoreNotExist(err), dir.Close()); err != nil {
			return err
		}
	}
	return nil
}

// withoutApart keeps names from a run that makes hard links; too many are copied
// by one that makes none.
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

// copyApart copies the names that the run before was not shown. Nothing is
// written in place: what is linked may be another file at the source by now.
func (x filled) copyApart(ctx context.Context, opts rsyncexec.Options, first transfer.End) transfer.End {
	opts.HardLinks, opts.Inplace, opts.WholeFile, opts.Sparse = false, false, true, true
	return x.rerun(ctx, opts, first)
}

// noticeEmpty names the files of the backup that are empty because the source
// says so.
func (x filled) noticeEmpty(paths []string) error {
	var empty []string
	for _, path := range paths {
		dir, err := at.OpenBeneath(x.work, filepath.Dir(path))
		if at.IsNoDir(err) {
			continue
		}
		if err != nil {
			return fail.Step("look at empty files", err)
		}
		st, err := at.Stat(dir, filepath.Base(path))
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0 {
			empty = append(empty, path)
		}
		if err := errors.Join(at.IgnoreNotExist(err), dir.Close()); err != nil {
			return fail.Step("look at empty files", err)
		}
	}
	if len(empty) > 0 {
		x.tell.Notice(fmt.Sprintf("%s empty by size and not by content, of which the backup has nothing: %s", filesAre(len(empty)), say.QuoteSome(empty)))
	}
	return nil
}

func filesAre(n int) string {
	if n == 1 {
		return "1 file is"
	}
	return fmt.Sprintf("%d files are", n)
}
