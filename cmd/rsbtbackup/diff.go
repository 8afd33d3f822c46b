// rsbtbackup diff DEST A B [PATH]

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

type diffCommand struct {
	Dest string  `arg:"" name:"DEST" help:"A backup directory."`
	A    string  `arg:"" name:"A" help:"The backup to start from: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	B    string  `arg:"" name:"B" help:"The backup to compare it with."`
	Path *string `arg:"" name:"PATH" optional:"" help:"Compare only this file or directory, which both have."`

	Stat   bool   `help:"Show only the summary."`
	Text   bool   `help:"Show the differences in the text file PATH, line by line."`
	Method string `enum:"auto,send,walk" default:"auto" placeholder:"HOW" help:"How differences are found: send asks the kernel (root only), walk looks at every file. The result is the same. Auto is send if possible (default)."`
}

// Help shows how it is used.
func (diffCommand) Help() string {
	return `
Each line has a sign and a path in B: + added, - removed (a path in A), M modified, R renamed, m only metadata differs
(mode, owner, mtime, xattrs), ? not compared because it cannot be read (exit code 1). Modified means that the content
differs. A removed file and a new one count as renamed if they have the same inode, or the same size, time and content.
The contents of a renamed directory are listed only if they changed.

EXAMPLE:

    rsbtbackup diff /backup/etc latest~1 latest
    rsbtbackup diff /backup/etc 2026-11 latest ssh --stat
    rsbtbackup diff /backup/etc latest~1 latest ssh/sshd_config --text`
}

func (c *diffCommand) dest() string { return c.Dest }

// Validate is called by kong.
func (c *diffCommand) Validate() error {
	switch {
	case c.Path != nil && *c.Path == "":
		return errEmptyPath
	case c.Text && c.Path == nil:
		return errors.New("--text needs a PATH")
	case c.Text && c.Stat:
		return errors.New("--text and --stat exclude each other")
	}
	return nil
}

func (c *diffCommand) run(ctx context.Context, u *ui, _ *flags) error {
	if c.Text {
		return c.text(ctx, u)
	}
	o := rsbtbackup.DiffOptions{Path: pathOr(c.Path, "")}
	if c.Method != "auto" {
		o.Method = rsbtbackup.DiffMethod(c.Method)
	}
	d, err := rsbtbackup.Diff(ctx, c.Dest, c.A, c.B, o)
	if d == nil {
		return err
	}
	sum := sumUp(d)
	if !c.Stat {
		for some := range slices.Chunk(d.Entries, 1000) {
			if err := showDifferences(u, some); err != nil {
				return err
			}
		}
	}
	u.result(sum.lines()...)
	return errors.Join(err, u.object(sum))
}

func showDifferences(u *ui, entries []rsbtbackup.DiffEntry) error {
	var lines []string
	var objects []any
	for _, e := range entries {
		lines = append(lines, diffLine(e))
		objects = append(objects, differenceObject{"difference", e})
	}
	u.result(lines...)
	return u.object(objects...)
}

func (c *diffCommand) text(ctx context.Context, u *ui) error {
	text, err := rsbtbackup.TextDiff(ctx, c.Dest, c.A, c.B, *c.Path)
	if err != nil {
		return err
	}
	if u.json {
		return u.object(textDiffObject{"text_difference", *c.Path, text})
	}
	out := &catWriter{u: u, name: *c.Path, terminal: u.shown}
	if _, err := out.Write([]byte(text)); err != nil && !errors.Is(err, errNoReader) {
		return err
	}
	return nil
}

func diffLine(e rsbtbackup.DiffEntry) string {
	signs := map[rsbtbackup.DiffKind]string{
		rsbtbackup.DiffAdded: "+", rsbtbackup.DiffRemoved: "-", rsbtbackup.DiffModified: "M",
		rsbtbackup.DiffRenamed: "R", rsbtbackup.DiffMetadata: "m", rsbtbackup.DiffUnread: "?",
	}
	line := signs[e.Kind] + " " + shownPath(e.Path, e.Type)
	if e.OldPath != "" {
		line += " <- " + name(e.OldPath)
	}
	var notes []string
	for _, c := range e.Changed {
		switch {
		case c == rsbtbackup.ChangedType:
			notes = append(notes, "was a "+e.OldType)
		case c == rsbtbackup.ChangedContent && e.Type == "file" && e.Size != e.OldSize:
			notes = append(notes, size(e.OldSize)+" -> "+size(e.Size))
		default:
			notes = append(notes, string(c))
		}
	}
	if len(notes) > 0 {
		line += " (" + strings.Join(notes, ", ") + ")"
	}
	return line
}

func shownPath(path, kind string) string {
	if kind == "directory" {
		return name(path + "/")
	}
	return name(path)
}

// differenceObject is one line of diff --json. Its type is "difference".
type differenceObject struct {
	Type string `json:"type"`
	rsbtbackup.DiffEntry
}

type textDiffObject struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Text string `json:"text"`
}

// diffSummary is the last line of diff --json.
type diffSummary struct {
	Type string `json:"type"`
	*rsbtbackup.Difference
	Counts       map[rsbtbackup.DiffKind]int `json:"counts"`
	AddedBytes   int64                       `json:"added_bytes"`   // size of the files added
	RemovedBytes int64                       `json:"removed_bytes"` // of the files removed
}

func sumUp(d *rsbtbackup.Difference) diffSummary {
	s := diffSummary{Type: "diff", Difference: d, Counts: map[rsbtbackup.DiffKind]int{}}
	for _, e := range d.Entries {
		s.Counts[e.Kind]++
		switch e.Kind {
		case rsbtbackup.DiffAdded:
			s.AddedBytes += e.Size
		case rsbtbackup.DiffRemoved:
			s.RemovedBytes += e.OldSize
		}
	}
	return s
}

func (s diffSummary) lines() []string {
	n := func(k rsbtbackup.DiffKind) string { return count(int64(s.Counts[k])) }
	switch {
	case len(s.Entries) == 0 && len(s.Unread) > 0:
		return []string{fmt.Sprintf("%s to %s: no differences in what could be read", s.From, s.To)}
	case len(s.Entries) == 0:
		return []string{fmt.Sprintf("%s to %s: no differences", s.From, s.To)}
	}
	counts := fmt.Sprintf("%s added (%s), %s removed (%s), %s modified, %s renamed, %s metadata only",
		n(rsbtbackup.DiffAdded), size(s.AddedBytes), n(rsbtbackup.DiffRemoved), size(s.RemovedBytes),
		n(rsbtbackup.DiffModified), n(rsbtbackup.DiffRenamed), n(rsbtbackup.DiffMetadata))
	if s.Counts[rsbtbackup.DiffUnread] > 0 {
		counts += ", " + n(rsbtbackup.DiffUnread) + " not compared"
	}
	return []string{fmt.Sprintf("%s to %s: %s", s.From, s.To, plural(int64(len(s.Entries)), "difference")), counts}
}
