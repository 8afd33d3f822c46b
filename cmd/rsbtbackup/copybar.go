// The line of the bar while a copy is made.

package main

import (
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

type copySeen struct {
	rsbtbackup.CopyProgress
	since time.Time // Backup began
}

func (s copySeen) next(p rsbtbackup.CopyProgress) copySeen {
	if p.Backup != s.Backup {
		s.since = time.Now()
	}
	return copySeen{p, s.since}
}

func copyLine(s copySeen, elapsed time.Duration, width int) string {
	return copyProgressLine(s.CopyProgress, time.Since(s.since), elapsed, width)
}

// copyProgressLine has no percentage, because the length of a stream is not known beforehand.
func copyProgressLine(p rsbtbackup.CopyProgress, sending, elapsed time.Duration, width int) string {
	if p.Backups == 0 {
		return fit(width, spinner(elapsed)+" comparing", clock(elapsed))
	}
	rate := "?"
	if s := sending.Seconds(); s > 0 {
		rate = size(int64(float64(p.Bytes)/s)) + "/s"
	}
	which := p.Backup
	if p.Backups > 1 {
		which = fmt.Sprintf("%s (%d/%d)", p.Backup, p.Index+1, p.Backups)
	}
	return fit(width, spinner(elapsed)+" "+size(int64(p.Bytes)), rate, which, clock(elapsed))
}
