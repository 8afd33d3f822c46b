// rsbtbackup verify DEST [BACKUP...] --against-copy TARGET

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

type copyDifferenceObject struct {
	Type string `json:"type"`
	rsbtbackup.CopyDifference
}

// againstCopyObject leaves out the differences, each of which has its own line.
type againstCopyObject struct {
	Type string `json:"type"`
	*rsbtbackup.AgainstCopyReport
	Found *struct{} `json:"found,omitempty"`
}

func (c *verifyCommand) compareCopies(ctx context.Context, u *ui) error {
	bar := startBar(u, verifyProgressLine)
	report, err := rsbtbackup.VerifyAgainstCopy(ctx, c.Dest, c.AgainstCopy, c.Names, rsbtbackup.AgainstCopyOptions{
		SSH: strings.Fields(c.Rsh), Program: c.Program, Logger: u.log,
		Progress: func(p rsbtbackup.VerifyProgress) {
			bar.change(func(rsbtbackup.VerifyProgress) rsbtbackup.VerifyProgress { return p })
		},
		Found: func(d rsbtbackup.CopyDifference) {
			u.result(fmt.Sprintf("%s: %s: %s", d.Backup, quote(d.Path), strings.Join(d.What, ", ")))
			if err := u.object(copyDifferenceObject{"copy_difference", d}); err != nil {
				u.note(err.Error())
			}
		},
	})
	bar.remove(u)
	for _, notice := range report.Notices {
		u.log.Warn(notice)
	}
	report.Backups = append([]rsbtbackup.ComparedBackup{}, report.Backups...) // [], not null
	u.result(comparedLines(report)...)
	return errors.Join(err, u.object(againstCopyObject{"against_copy", report, nil}))
}

func comparedLines(r *rsbtbackup.AgainstCopyReport) []string {
	var lines []string
	var compared, same int
	var all rsbtbackup.ComparedBackup
	for _, b := range r.Backups {
		switch b.Result {
		case rsbtbackup.NoCopy:
			lines = append(lines, b.Name+": no copy in "+r.Target)
			continue
		case rsbtbackup.SameCopy:
			same++
		}
		compared++
		all.Names, all.Files, all.BySums = all.Names+b.Names, all.Files+b.Files, all.BySums+b.BySums
		all.ByReading, all.Bytes = all.ByReading+b.ByReading, all.Bytes+b.Bytes
	}
	if compared == 0 {
		return lines
	}
	verdict := fmt.Sprintf("%d of %s the same as in %s", same, plural(int64(compared), "backup"), r.Target)
	if same == compared && compared == 1 {
		verdict = "the same as in " + r.Target
	}
	return append(lines, fmt.Sprintf("%s, compared in %s: %s; %s by checksums, %d by reading %s on each side",
		verdict, took(r.Ended.Sub(r.Started)), plural(all.Names, "name"), plural(all.BySums, "file"), all.ByReading, size(all.Bytes)))
}

// compareHints: the checksums of each disk show which side is right.
func compareHints(err error, i invocation) ([]string, bool) {
	c, ok := i.command.(*verifyCommand)
	if !ok || c.AgainstCopy == "" {
		return nil, false
	}
	there := &copyCommand{Dest: c.Dest, Target: c.AgainstCopy, Rsh: c.Rsh, Program: c.Program}
	var step *rsbtbackup.StepError
	switch errors.As(err, &step); {
	case errors.Is(err, rsbtbackup.ErrDiffers), errors.Is(err, rsbtbackup.ErrUnread):
		return []string{
			"to read DEST from the disk: " + quoteAll("rsbtbackup", "verify", c.Dest),
			there.there("to read TARGET from the disk: ", "rsbtbackup", "verify"),
		}, true
	case errors.Is(err, rsbtbackup.ErrTarget):
		return []string{there.aloneHint()}, true
	case step != nil && step.Step == "TARGET" && errors.Is(err, rsbtbackup.ErrNotInitialized):
		return []string{there.there("", "rsbtbackup", "init")}, true
	case step != nil && step.Step == "TARGET" && exitCode(err) == exitDest:
		return []string{mounted}, true
	}
	return nil, false
}
