// rsbtbackup ls DEST BACKUP [PATH]

package main

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/rsbtbackup/rsbtbackup"
)

type lsCommand struct {
	Dest      string  `arg:"" name:"DEST" help:"A backup directory."`
	Backup    string  `arg:"" name:"BACKUP" help:"A backup: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	Path      *string `arg:"" name:"PATH" optional:"" help:"A file or directory in it. The default is the root of the backup."`
	Recursive bool    `short:"R" help:"Also list the contents of subdirectories."`
}

// Help shows how it is used.
func (lsCommand) Help() string {
	return `
Each line has mode, links, owner and group by number, size in bytes, time and name, as in ls -lan. Paths are relative to
the root of the backup, with or without a leading slash. A symlink is followed only if it stays inside the backup. On a
terminal unprintable bytes of a name are shown as escapes, and a name with a backslash of its own is in quotes. To a
file or a pipe names are written unchanged.

EXAMPLE:

    rsbtbackup ls /backup/etc latest
    rsbtbackup ls /backup/etc 2026-11-23 ssh -R
    rsbtbackup ls /backup/etc latest~1 --json -R | jq -r 'select(.size > 1e6).path'`
}

func (c *lsCommand) dest() string { return c.Dest }

func (c *lsCommand) run(ctx context.Context, u *ui, f *flags) error {
	return rsbtbackup.Ls(ctx, c.Dest, c.Backup, pathOr(c.Path, "/"), rsbtbackup.LsOptions{Recursive: c.Recursive}, func(e rsbtbackup.Entry) error {
		if u.json {
			return u.object(entryObject{"entry", e})
		}
		u.raw(lsLine(e, c.Recursive, u.bytes))
		return nil
	})
}

// bytes are those of a name: escaped on a terminal, otherwise unchanged.
func (u *ui) bytes(path string) string {
	if u.shown {
		return name(path)
	}
	return path
}

// lsLine has fixed widths, because a tree is printed while it is read.
func lsLine(e rsbtbackup.Entry, whole bool, bytes func(path string) string) string {
	shown := e.Path
	if !whole {
		shown = path.Base(shown)
	}
	size := strconv.FormatInt(e.Size, 10)
	if e.Device != "" {
		size = e.Device
	}
	line := fmt.Sprintf("%s %3d %5d %5d %11s %s %s", lsMode(e), e.Links, e.UID, e.GID, size, e.MTime.Format("2006-01-02 15:04:05"), bytes(shown))
	if e.Kind == "symlink" {
		line += " -> " + bytes(e.Link)
	}
	return line
}

// lsMode is "-rwsr-xr-t", as in ls.
func lsMode(e rsbtbackup.Entry) string {
	kinds := map[string]string{"file": "-", "directory": "d", "symlink": "l", "fifo": "p", "socket": "s", "block device": "b", "character device": "c"}
	bits := []byte(fs.FileMode(e.Mode & 0o777).String()[1:])
	for i, at := range []int{2, 5, 8} { // set-user-id, set-group-id, sticky
		switch {
		case e.Mode&(0o4000>>i) == 0:
		case bits[at] == 'x':
			bits[at] = "sst"[i]
		default:
			bits[at] = "SST"[i]
		}
	}
	return kinds[e.Kind] + string(bits)
}
