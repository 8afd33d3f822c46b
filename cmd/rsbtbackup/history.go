// rsbtbackup history DEST PATH

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

type historyCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`
	Path string `arg:"" name:"PATH" help:"A path in its backups, with or without a leading slash."`
}

// Help shows how it is used.
func (historyCommand) Help() string {
	return `
Lists every distinct version of PATH, oldest first: the first backup that has it, what changed, and the backup to take
it from (the newest complete one that has this version and no known damage). A version that cannot be read, and may
therefore be the same, is listed as not compared, with exit code 1. For a directory only the directory itself is
compared: its time changes when a name in it is added or removed.

EXAMPLE:

    rsbtbackup history /backup/etc ssh/sshd_config
    rsbtbackup history /backup/etc passwd --json | jq -r '.take // empty'`
}

func (c *historyCommand) dest() string { return c.Dest }

func (c *historyCommand) run(ctx context.Context, u *ui, _ *flags) error {
	h, err := rsbtbackup.History(ctx, c.Dest, c.Path)
	if h == nil {
		return err
	}
	var objects []any
	for _, v := range h.Versions {
		objects = append(objects, versionOfPathObject{"path_version", v})
	}
	if printErr := u.object(objects...); printErr != nil {
		return errors.Join(err, printErr)
	}
	if len(h.Passed) > 0 {
		u.log.Warn("these backups cannot be opened; their content is unknown", "backups", h.Passed)
	}
	u.result(table(historyRows(h.Versions))...)
	u.result(fmt.Sprintf("%s of %s in %s", plural(int64(len(h.Versions)), "version"), name(h.Path), plural(int64(h.Backups), "backup")))
	return errors.Join(err, u.object(historyObject{"history", h}))
}

type versionOfPathObject struct {
	Type string `json:"type"`
	rsbtbackup.Version
}

type historyObject struct {
	Type string `json:"type"`
	*rsbtbackup.PathHistory
}

// historyRows fit 80 columns if names have minutes: for other entries than files SIZE is the kind.
func historyRows(versions []rsbtbackup.Version) [][]string {
	const shown = "2006-01-02 15:04"
	kinds := map[string]string{"directory": "dir", "symlink": "link", "block device": "block", "character device": "char"}
	rows := [][]string{{"FIRST SEEN", "TAKE FROM", "SIZE", "MODE", "MODIFIED", "WHAT"}}
	for _, v := range versions {
		bytes := cmp.Or(kinds[v.Type], v.Type)
		if v.Type == "file" {
			bytes = size(v.Size)
		}
		take := v.Take
		if v.TakeDamaged {
			take += " (damaged)"
		}
		rows = append(rows, []string{v.First, take, bytes, fmt.Sprintf("%04o", v.Mode), v.ModTime.Local().Format(shown), whatChanged(v)})
		if v.Vanished != "" {
			rows = append(rows, []string{v.Vanished, "-", "-", "-", "-", "gone"})
		}
	}
	return rows
}

// whatChanged omits the time if the content changed.
func whatChanged(v rsbtbackup.Version) string {
	if len(v.Changed) == 0 && !v.Unread {
		return "appeared"
	}
	var words []string
	for _, c := range v.Changed {
		if c != rsbtbackup.ChangedMtime || !slices.Contains(v.Changed, rsbtbackup.ChangedContent) {
			words = append(words, string(c))
		}
	}
	if v.Unread {
		words = append(words, "not compared")
	}
	return strings.Join(words, ", ")
}
