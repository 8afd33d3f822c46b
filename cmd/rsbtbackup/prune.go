// rsbtbackup prune DEST --keep-...

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

type pruneCommand struct {
	Dest string `arg:"" name:"DEST" help:"A backup directory."`

	Keep    keepFlags `embed:""`
	MinFree freeSpace `placeholder:"SIZE" help:"Delete further backups, oldest first, until SIZE is free: 50G, 512MiB, 10%. Run by root, it deletes none if that cannot be reached."`
	KeepMin keepMin   `placeholder:"N" help:"With --min-free keep at least N complete backups. The default is 1."`
	Wait    bool      `help:"Wait until the space of deleted backups is free. Without it the kernel frees the space within about a minute."`
	Force   bool      `help:"Continue although a safety guard would stop the run."`
	DryRun  bool      `short:"n" help:"Show what would be deleted and how much that would free (root only); change nothing."`
}

// Help shows how it is used.
func (pruneCommand) Help() string {
	return `
A backup that matches any rule is kept; the others are deleted, oldest first. Pinned backups and the newest complete one
are always kept. Periods without backups do not count. Ages are relative to the latest backup, so without new backups
nothing more is deleted. If the clock has jumped, or if nearly all backups would be deleted although the last prune
deleted few, it stops with exit code 13.

EXAMPLE:

    rsbtbackup prune /backup/etc --keep-daily=7 --keep-weekly=4 --keep-monthly=12 -n
    rsbtbackup prune /backup/etc --keep-within=30d --keep-within-weekly=1y
    rsbtbackup prune /backup/etc --min-free=10% --keep-min=3 --wait`
}

func (c *pruneCommand) dest() string  { return c.Dest }
func (c *pruneCommand) changes() bool { return !c.DryRun }

// Validate is called by kong.
func (c *pruneCommand) Validate() error {
	if c.KeepMin > 0 && c.MinFree == (freeSpace{}) {
		return errors.New("--keep-min needs --min-free")
	}
	return nil
}

func (c *pruneCommand) run(ctx context.Context, u *ui, f *flags) error {
	return runPrune(ctx, u, c.Dest, rsbtbackup.PruneOptions{
		Policy: c.Keep.policy(), MinFree: rsbtbackup.MinFree(c.MinFree), KeepMin: int(c.KeepMin), Wait: c.Wait, Force: c.Force,
		DryRun: c.DryRun, LockWait: f.LockWait.duration(), Logger: u.log,
	})
}

// runPrune is the common part of prune and rotate.
func runPrune(ctx context.Context, u *ui, dest string, o rsbtbackup.PruneOptions) error {
	o.Now = time.Now()
	if !o.DryRun {
		bar := startBar(u, deleteLine)
		defer bar.remove(u)
		o.Progress = deletions(bar)
		report, err := rsbtbackup.Prune(ctx, dest, o)
		bar.remove(u)
		return errors.Join(err, reportPrune(u, report, err))
	}
	report, err := rsbtbackup.Prune(ctx, dest, o)
	if err != nil && !errors.Is(err, rsbtbackup.ErrNoSpace) {
		return errors.Join(err, u.object(newPruneObject(report)))
	}
	u.result(pruneReport(report, o.Now)...)
	return errors.Join(err, u.object(newPruneObject(report)))
}

// reportPrune says what was deleted, also after an error.
func reportPrune(u *ui, r *rsbtbackup.PruneReport, err error) error {
	u.result(pruneLines(r)...)
	if err == nil {
		u.result(pruneSummary(r))
	}
	return u.object(newPruneObject(r))
}

// pruneReport is what a prune has done, or would do.
func pruneReport(r *rsbtbackup.PruneReport, now time.Time) []string {
	switch {
	case !r.DryRun:
		return append(pruneLines(r), pruneSummary(r))
	case len(r.Decisions) == 0:
		return []string{planSummary(r)}
	}
	lines := append(table(planRows(r.Decisions, now)), planSummary(r))
	if r.Refused != "" {
		lines = append(lines, "this would be refused without --force: "+r.Refused)
	}
	return lines
}

func planRows(decisions []rsbtbackup.Decision, now time.Time) [][]string {
	rows := [][]string{{"NAME", "AGE", "FREES", "ACTION", "REASON"}}
	for _, d := range slices.Backward(decisions) {
		frees, action := "-", "keep"
		if !d.Keep {
			action = "delete"
			if d.Frees != nil {
				frees = size(int64(*d.Frees))
			}
		}
		row := []string{d.Name, age(now.Sub(d.Time)), frees, action}
		for _, reasons := range wrapWords(d.Reasons, 34) {
			rows = append(rows, append(row, reasons))
			row = []string{"", "", "", ""}
		}
	}
	return rows
}

func planSummary(r *rsbtbackup.PruneReport) string {
	var frees uint64
	known, n := true, 0
	for _, d := range r.Decisions {
		if d.Keep {
			continue
		}
		n++
		if d.Frees == nil {
			known = false
			continue
		}
		frees += *d.Frees
	}
	text := fmt.Sprintf("dry run: %d of %s would be deleted", n, plural(int64(len(r.Decisions)), "backup"))
	if n > 0 && known {
		text += ", which frees about " + size(int64(frees))
	}
	return text + ", " + freeText(r)
}

// pruneLines names the deleted backups, with the reason, in the order of deletion.
func pruneLines(r *rsbtbackup.PruneReport) []string {
	reasons := make(map[string]string, len(r.Decisions))
	for _, d := range r.Decisions {
		reasons[d.Name] = strings.Join(d.Reasons, ", ")
	}
	var lines []string
	for _, name := range r.Deleted {
		lines = append(lines, "deleted "+name+": "+reasons[name])
	}
	return lines
}

func pruneSummary(r *rsbtbackup.PruneReport) string {
	kept := int64(len(r.Decisions) - len(r.Deleted))
	return fmt.Sprintf("%s deleted, %s kept, %s", plural(int64(len(r.Deleted)), "backup"), count(kept), freeText(r))
}

func freeText(r *rsbtbackup.PruneReport) string {
	return fmt.Sprintf("%s of %s free now", size(int64(r.Free)), size(int64(r.Total)))
}

// keepMin is a number of backups from 1.
type keepMin int

// UnmarshalText refuses 0, which would mean 1.
func (k *keepMin) UnmarshalText(text []byte) error {
	var c keepCount
	if err := c.set(string(text)); err != nil || c < 1 {
		return fmt.Errorf("%q is not a number from 1", text)
	}
	*k = keepMin(c)
	return nil
}
