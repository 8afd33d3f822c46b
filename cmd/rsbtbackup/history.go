// rsbtbackup history DEST PATH

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

type historyCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`
	Path string `arg:"" name:"PATH" help:"A path in its backups, with or without a slash in front."`
}

// Help shows how it is used.
func (historyCommand) Help() string {
	return `
Lists every distinct version of PATH, the oldest first: the backup it is first seen in, what changed then, and the
backup to take it from, which is the newest complete one that has it. Of a directory it is the directory itself that is
meant: its time changes when names in it come or go.

EXAMPLE:

    rsbtbackup history /backup/etc ssh/sshd_config
    rsbtbackup history /backup/etc passwd --json | jq -r .take`
}

func (c *historyCommand) dest() string { return c.Dest }

func (c *historyCommand) run(ctx context.Context, u *ui, _ *flags) error {
	h, err := rsbtbackup.History(ctx, c.Dest, c.Path)
	if err != nil {
		return err
	}
	for _, v := range h.Versions {
		if err := u.object(versionOfPathObject{"path_version", v}); err != nil {
			return err
		}
	}
	for _, line := range table(historyRows(h.Versions)) {
		u.result(line)
	}
	u.result(fmt.Sprintf("%s of %s in %s", plural(int64(len(h.Versions)), "version"), h.Path, plural(int64(h.Backups), "backup")))
	return u.object(historyObject{"history", h})
}

type versionOfPathObject struct {
	Type string `json:"type"`
	rsbtbackup.Version
}

type historyObject struct {
	Type string `json:"type"`
	*rsbtbackup.PathHistory
}

func historyRows(versions []rsbtbackup.Version) [][]string {
	const shown = "2006-01-02 15:04:05"
	rows := [][]string{{"FIRST SEEN", "WHAT", "TYPE", "SIZE", "MODE", "MODIFIED", "TAKE FROM"}}
	for _, v := range versions {
		bytes := "-"
		if v.Type == "file" {
			bytes = size(v.Size)
		}
		rows = append(rows, []string{v.First, whatChanged(v), v.Type, bytes, fmt.Sprintf("%04o", v.Mode), v.ModTime.Local().Format(shown), v.Take})
		if v.Vanished != "" {
			rows = append(rows, []string{v.Vanished, "gone", "-", "-", "-", "-", "-"})
		}
	}
	return rows
}

func whatChanged(v rsbtbackup.Version) string {
	if len(v.Changed) == 0 {
		return "appeared"
	}
	words := make([]string, len(v.Changed))
	for i, c := range v.Changed {
		words[i] = string(c)
	}
	return strings.Join(words, ", ")
}
