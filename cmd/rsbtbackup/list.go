// rsbtbackup list DEST

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

type listCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`
}

// Help shows how it is used.
func (listCommand) Help() string {
	return `
The oldest backup comes first. SENT is the file data that was new or changed, ADDED the space it takes on disk beyond
the backups before it; what is not known is shown as "-". Listing takes no lock and never waits for a backup that is
being made.

EXAMPLE:

    rsbtbackup list /backup/etc
    rsbtbackup list /backup/etc --json | jq -r 'select(.type == "snapshot" and .current).name'`
}

func (c *listCommand) dest() string { return c.Dest }

func (c *listCommand) run(ctx context.Context, u *ui, f *flags) error {
	l, err := rsbtbackup.List(ctx, c.Dest)
	if err != nil {
		return err
	}
	if u.json {
		return listObjects(u, l)
	}
	if len(l.Backups) > 0 {
		for _, line := range table(listRows(l.Backups, time.Now())) {
			u.result(line)
		}
	}
	for _, line := range listSummary(l, f.Verbose) {
		u.result(line)
	}
	return nil
}

func listObjects(u *ui, l *rsbtbackup.Listing) error {
	for _, b := range l.Backups {
		if err := u.object(snapshotObject{"snapshot", b}); err != nil {
			return err
		}
	}
	return u.object(summaryObject{"summary", l.Dest, len(l.Backups), l.Pending, append([]string{}, l.Foreign...)})
}

func listRows(backups []rsbtbackup.Snapshot, now time.Time) [][]string {
	rows := [][]string{{"NAME", "AGE", "FILES", "SIZE", "SENT", "ADDED", "STATUS"}}
	for _, b := range backups {
		files, total, sent, added := "-", "-", "-", "-"
		if b.Record != nil && b.Record.Stats != nil {
			s := b.Record.Stats
			files, total, sent = count(s.Files), size(s.TotalSize), size(s.Literal)
		}
		if b.Record != nil && b.Record.AddedBytes != nil {
			added = size(int64(*b.Record.AddedBytes))
		}
		rows = append(rows, []string{b.Name, age(now.Sub(b.Time)), files, total, sent, added, statusOf(b)})
	}
	return rows
}

func statusOf(b rsbtbackup.Snapshot) string {
	words := []string{string(b.Status)}
	if b.Current {
		words = append(words, "current")
	}
	if b.Pinned() {
		words = append(words, "pinned")
	}
	if b.RecordError != "" {
		words = append(words, "record unreadable")
	}
	return strings.Join(words, ", ")
}

func listSummary(l *rsbtbackup.Listing, verbose bool) []string {
	total := fmt.Sprintf("%s in %s", plural(int64(len(l.Backups)), "backup"), l.Dest)
	if len(l.Backups) == 0 {
		total = "no backups yet in " + l.Dest
	}
	if l.Pending {
		total += ", and an unfinished one"
	}
	lines := []string{total}
	if verbose {
		for _, name := range l.Foreign {
			lines = append(lines, "not a backup, left alone: "+name)
		}
		for _, b := range l.Backups {
			if b.RecordError != "" {
				lines = append(lines, b.Name+": "+b.RecordError)
			}
		}
	}
	return lines
}
