// rsbtbackup list DEST

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

type listCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`
	Size bool   `help:"Measure how much space deleting each backup alone would free. Needs root, and takes longer."`
}

// Help shows how it is used.
func (listCommand) Help() string {
	return `
The oldest backup comes first. FILES counts everything, including directories and links. SENT is the size of the new and
changed data of files; a "+" means that it counts only since the backup was resumed. ADDED is the space that the backup
takes on disk beyond the backups before it. Unknown values are shown as "-". Listing takes no lock and never waits for a
running backup. Other files in DEST are counted; -v names them, and shows the source and the notes of pins.

With --size the column FREES replaces SENT: the space that deleting this backup alone would free. This takes longer,
because the changes of all backups are examined; it also measures ADDED for backups that other programs made. The kernel
answers only root.

EXAMPLE:

    rsbtbackup list /backup/etc
    sudo rsbtbackup list /backup/etc --size
    rsbtbackup list /backup/etc --json | jq -r 'select(.type == "snapshot" and .current).name'`
}

func (c *listCommand) dest() string { return c.Dest }

func (c *listCommand) run(ctx context.Context, u *ui, f *flags) error {
	list := rsbtbackup.List
	if c.Size {
		list = rsbtbackup.ListSizes
	}
	l, err := list(ctx, c.Dest)
	if err != nil {
		return err
	}
	if c.Size && len(l.Backups) > 0 && !slices.ContainsFunc(l.Backups, func(b rsbtbackup.Snapshot) bool { return b.Exclusive != nil }) {
		if len(l.Hidden) > 0 {
			u.log.Warn("--size: the space that a backup takes is unknown while something is mounted on one", "backups", l.Hidden)
		} else {
			u.log.Warn("--size: only root can measure the space that a backup takes")
		}
	}
	if l.AtMost {
		u.log.Warn("--size: FREES is an upper bound, because not all data was checked for other users")
	}
	if u.json {
		return listObjects(u, l)
	}
	if len(l.Backups) > 0 {
		u.result(table(listRows(l.Backups, time.Now(), c.Size))...)
	}
	u.result(listSummary(l, f.Verbose)...)
	return nil
}

func listObjects(u *ui, l *rsbtbackup.Listing) error {
	var objects []any
	for _, b := range l.Backups {
		objects = append(objects, snapshotObject{"snapshot", b})
	}
	objects = append(objects, summaryObject{"summary", l.Dest, len(l.Backups), l.Pending, l.Running, append([]string{}, l.Foreign...), append([]string{}, l.Hidden...), l.AtMost, l.Free, l.Total})
	return u.object(objects...)
}

func listRows(backups []rsbtbackup.Snapshot, now time.Time, sizes bool) [][]string {
	// Both together do not fit 80 columns.
	head := []string{"NAME", "AGE", "FILES", "SIZE", "SENT", "ADDED", "STATUS"}
	if sizes {
		head = []string{"NAME", "AGE", "FILES", "SIZE", "ADDED", "FREES", "STATUS"}
	}
	rows := [][]string{head}
	for _, b := range backups {
		files, total, sent := "-", "-", "-"
		if b.Record != nil && b.Record.Stats != nil {
			s := b.Record.Stats
			files, total, sent = count(s.Files), size(s.TotalSize), sentText(b.Record)
		}
		row := []string{b.Name, age(now.Sub(b.Time)), files, total, sent, sizeOrDash(b.Added)}
		if sizes {
			row = []string{b.Name, age(now.Sub(b.Time)), files, total, sizeOrDash(b.Added), sizeOrDash(b.Exclusive)}
		}
		rows = append(rows, append(row, statusOf(b)))
	}
	return rows
}

// sentText: if a run resumed another one, rsync counts only its own part. In a first backup everything was sent.
func sentText(r *rsbtbackup.Record) string {
	switch {
	case !r.Resumed:
		return size(r.Stats.Literal)
	case r.Base == "":
		return size(r.Stats.TotalSize)
	}
	return size(r.Stats.Literal) + "+"
}

func sizeOrDash(n *uint64) string {
	if n == nil {
		return "-"
	}
	return size(int64(*n))
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
	switch {
	case b.Damaged():
		words = append(words, "damaged")
	case b.Unreadable != "":
		words = append(words, "not readable")
	}
	return strings.Join(words, ", ")
}

// plainCopies are directories that have names of backups, and are no subvolumes.
func plainCopies(l *rsbtbackup.Listing) (plain []string) {
	const topOfSubvolume = 256
	for _, name := range l.Foreign {
		var st syscall.Stat_t
		_, err := time.Parse("2006-01-02-15:04", name[:min(len(name), 16)])
		if err == nil && syscall.Lstat(filepath.Join(l.Dest, name), &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR && st.Ino != topOfSubvolume {
			plain = append(plain, name)
		}
	}
	return plain
}

func listSummary(l *rsbtbackup.Listing, verbose bool) []string {
	total := fmt.Sprintf("%s in %s", plural(int64(len(l.Backups)), "backup"), l.Dest)
	if len(l.Backups) == 0 {
		total = "no backups yet in " + l.Dest
	}
	switch {
	case l.Running:
		total += ", and a running one"
	case l.Pending:
		total += ", and an unfinished one"
	}
	if n := len(l.Hidden); n > 0 {
		total += fmt.Sprintf(", %d hidden by a mount", n)
	}
	if n := len(l.Foreign) - len(l.Hidden); n > 0 {
		total += fmt.Sprintf(", and %s", plural(int64(n), "other name"))
	}
	total += fmt.Sprintf("; %s of %s free", size(int64(l.Free)), size(int64(l.Total)))
	lines := []string{total}
	if n := len(plainCopies(l)); n > 0 {
		lines = append(lines, fmt.Sprintf("of the other names %d are like those of backups, but plain directories, as cp and rsync make them", n))
	}
	if n := len(l.Backups); n > 0 && l.Backups[n-1].Record != nil && len(l.Backups[n-1].Record.LeftOut) > 0 {
		lines = append(lines, "--one-file-system leaves out "+strings.Join(l.Backups[n-1].Record.LeftOut, ", "))
	}
	if verbose {
		if src := lastSource(l.Backups); src != "" {
			lines = append(lines, "last made from "+name(src))
		}
		for _, b := range l.Backups {
			if b.Record != nil && b.Record.Pin != nil && b.Record.Pin.Note != "" {
				lines = append(lines, b.Name+" is pinned: "+b.Record.Pin.Note)
			}
		}
		for _, name := range l.Foreign {
			if slices.Contains(l.Hidden, name) {
				lines = append(lines, "something is mounted on it, not touched: "+name)
			} else {
				lines = append(lines, "not a backup, not touched: "+name)
			}
		}
		for _, b := range l.Backups {
			if b.Unreadable != "" {
				lines = append(lines, b.Name+": "+b.Unreadable)
			}
			if b.RecordError != "" {
				lines = append(lines, b.Name+": "+b.RecordError)
			}
		}
	}
	return lines
}

// lastSource is the source of the newest backup that has one recorded.
func lastSource(backups []rsbtbackup.Snapshot) string {
	for _, b := range slices.Backward(backups) {
		if b.Record != nil && b.Record.Source != "" {
			return b.Record.SourceName()
		}
	}
	return ""
}
