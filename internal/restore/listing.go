// Obstacles in a remote target, as far as rsync lists them: kinds, and times in whole seconds.

package restore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// listing compares a remote target with the backup while rsync lists it, and does not store the list.
type listing struct {
	o *overwriting
	// dirs are directories of the target where the backup has none; their entries are listed after them.
	dirs map[string]*bothSides
	err  error
}

type bothSides struct {
	backup, target unix.Stat_t
	full           bool
}

// listTheWay lists a remote target, unless the mode protects nothing. If it cannot be listed, rsync's own options must
// do.
func (x aimed) listTheWay(ctx context.Context, o *overwriting) (inTheWay, error) {
	if o.mode != facts.OverwriteNever && o.mode != facts.OverwriteIfNewer {
		return inTheWay{}, nil
	}
	l := &listing{o: o, dirs: map[string]*bothSides{}}
	opts := rsyncexec.Options{
		Program: x.o.RsyncProgram, Source: *x.target.remote, Dest: filepath.Join(source.Inherited, "none-"+rand.Text()), DryRun: true, Listed: l.take,
		Filter: onlyPaths(x.paths), Rsh: x.o.Rsh, Timeout: x.o.Timeout, ExtraFiles: []*os.File{x.view.Root},
	}
	if opts.Timeout == 0 {
		opts.Timeout = source.RemoteTimeout
	}
	_, err := rsyncexec.Run(ctx, opts)
	var exit *rsyncexec.ExitError
	switch {
	case ctx.Err() != nil:
		return inTheWay{}, context.Cause(ctx)
	case errors.As(err, &exit) && exit.Code == rsyncexec.ExitPartial, err == nil:
	case errors.As(err, &exit) && !transfer.ConnectionLost(exit.Code):
		x.tell.Notice("the contents of " + x.target.shown + " cannot be listed, so only rsync's own options protect them: " + exit.Error())
	}
	for path, d := range l.dirs {
		o.decide(path, d.backup, d.target, d.full && !o.delete)
	}
	return o.found.sorted(), l.err
}

// take is called for each entry; a directory comes before its entries.
func (l *listing) take(e rsyncexec.Listed) {
	if d := l.dirs[filepath.Dir(e.Path)]; d != nil {
		d.full = true
		return
	}
	if l.err != nil || e.Path == "." || !isAsked(e.Path, l.o.paths) && !transfer.OnTheWay(e.Path, l.o.paths) {
		return
	}
	backup, err := l.o.inBackup(e.Path)
	if err != nil {
		l.err = ignoreUnseen(err)
		return
	}
	mtime, err := unix.TimeToTimespec(e.Mtime) // fails for years that 32-bit machines cannot represent
	if err != nil {
		l.err = fmt.Errorf("time of %q in the target: %w", e.Path, err)
		return
	}
	target := unix.Stat_t{Mode: kindOf(e.Kind, backup), Nlink: 1, Mtim: mtime, Rdev: backup.Rdev}
	switch {
	case isDir(target) && !isDir(backup):
		l.dirs[e.Path] = &bothSides{backup: backup, target: target}
	case isDir(backup) && !isDir(target):
		full, err := holdsFiles(l.o.backup, e.Path)
		l.o.decide(e.Path, backup, target, full)
		l.err = err
	default:
		l.o.decide(e.Path, backup, target, false)
	}
}

// kindOf returns the kind of a listed entry. rsync does not list which kind of device or special file it is.
func kindOf(listed byte, backup unix.Stat_t) uint32 {
	kind := backup.Mode & unix.S_IFMT
	switch listed {
	case 'f':
		return unix.S_IFREG
	case 'd':
		return unix.S_IFDIR
	case 'L':
		return unix.S_IFLNK
	case 'D':
		if kind == unix.S_IFBLK {
			return kind
		}
		return unix.S_IFCHR
	}
	if kind == unix.S_IFSOCK {
		return kind
	}
	return unix.S_IFIFO
}

// inBackup follows no symlink, because rsync lists only entries below real directories.
func (o *overwriting) inBackup(path string) (unix.Stat_t, error) {
	dir, err := at.OpenBeneath(o.backup, filepath.Dir(path))
	if err != nil {
		return unix.Stat_t{}, err
	}
	defer dir.Close()
	return at.Stat(dir, filepath.Base(path))
}

// onlyPaths are filter rules with which rsync lists only paths, everything below them, and their parents.
func onlyPaths(paths []string) []string {
	if len(paths) == 0 {
		return nil
	}
	var rules []string
	for _, path := range paths {
		for up := range ancestors(path) {
			rules = append(rules, "+ /"+source.EscapePattern(up))
		}
		literal := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
		rules = append(rules, "+ /"+literal+"/**")
	}
	return append(rules, "- *")
}
