// The line of the bar while backups are read.

package main

import (
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

// verifyProgressLine shows a percentage if the total is known: for a backup that is read completely, for which rsync
// has counted the bytes.
func verifyProgressLine(p rsbtbackup.VerifyProgress, elapsed time.Duration, width int) string {
	if p.Backups == 0 {
		return fit(width, spinner(elapsed)+" reading", clock(elapsed))
	}
	rate := "?"
	if s := elapsed.Seconds(); s > 0 {
		rate = size(int64(float64(p.Bytes)/s)) + "/s"
	}
	which := p.Backup
	if p.Backups > 1 {
		which = fmt.Sprintf("%s (%d/%d)", p.Backup, p.Index+1, p.Backups)
	}
	done := spinner(elapsed)
	if p.Total > 0 {
		done = fmt.Sprintf("%3d%%", min(100, p.Bytes*100/p.Total))
	}
	return fit(width, done+" "+size(p.Bytes), rate, which, count(p.Files)+" files", clock(elapsed))
}
