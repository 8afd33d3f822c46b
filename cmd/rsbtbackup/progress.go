// The line of the bar while rsync works.

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

// progressSeen is the sum of rsync's lines; each has only a part.
type progressSeen struct {
	rsbtbackup.Progress
	any      bool
	expected int64 // files, as counted before or in the last backup; 0 if unknown
}

// startTransferBar returns nil if no bar is shown. expected is the approximate number of files, or 0.
func startTransferBar(u *ui, expected func() int64) *bar[progressSeen] {
	b := startBar(u, progressLine)
	if b != nil {
		b.change(func(progressSeen) progressSeen { return progressSeen{expected: expected()} })
	}
	return b
}

// linesFor receives rsync's progress, from any goroutine; it is nil if there is no bar, so that rsync does not report
// it.
func linesFor(b *bar[progressSeen]) func(rsbtbackup.Progress) {
	if b == nil {
		return nil
	}
	return func(p rsbtbackup.Progress) { b.change(func(seen progressSeen) progressSeen { return seen.add(p) }) }
}

// add keeps the counts of files when p, a line from within a file, has none.
func (s progressSeen) add(p rsbtbackup.Progress) progressSeen {
	if p.Total == 0 {
		p.Transferred, p.ToCheck, p.Total, p.Scanning = s.Transferred, s.ToCheck, s.Total, s.Scanning
	}
	return progressSeen{p, true, cmp.Or(p.Expected, s.expected)}
}

// progressLine fits into width, with the most important parts first. While rsync still reads the source the total is
// unknown, and a percentage would decrease, so a moving sign is shown instead.
func progressLine(s progressSeen, elapsed time.Duration, width int) string {
	if !s.any {
		return fit(width, spinner(elapsed)+" reading", clock(elapsed))
	}
	files := count(s.Total-s.ToCheck) + "/" + count(s.Total) + " files"
	if s.Scanning || s.Total == 0 {
		return scanningLine(s, elapsed, width)
	}
	if s.ToCheck == 0 {
		return fit(width, spinner(elapsed)+" finishing", size(s.Bytes), count(s.Total)+" files", clock(elapsed))
	}
	percent, left := s.done(elapsed)
	return withGauge(percent, fit(width, fmt.Sprintf("%3d%%", percent), size(s.Bytes), rate(s), "ETA "+left, files, clock(elapsed)), width)
}

func withGauge(percent int, line string, width int) string {
	if room := width - len(line) - 4; room >= 10 {
		return gauge(percent, min(room, 30)) + " " + line
	}
	return line
}

// scanningLine: rsync reads the source while it sends, so the whole run may be over before it knows the total. The last
// backup gives an estimate.
func scanningLine(s progressSeen, elapsed time.Duration, width int) string {
	looked := s.Total - s.ToCheck
	if looked == 0 || looked >= s.expected {
		files := count(looked) + " files"
		if s.Total > looked {
			files = count(looked) + "/" + count(s.Total) + "+ files"
		}
		return fit(width, spinner(elapsed)+" "+size(s.Bytes), rate(s), files, clock(elapsed))
	}
	percent := int(looked * 100 / s.expected)
	left := clock(time.Duration(float64(elapsed) * float64(s.expected-looked) / float64(looked)))
	files := count(looked) + "/~" + count(s.expected) + " files"
	return withGauge(percent, fit(width, fmt.Sprintf("~%2d%%", percent), size(s.Bytes), rate(s), "ETA ~"+left, files, clock(elapsed)), width)
}

// filesIn is the number of files in the newest backup in dest for which rsync has counted them.
func filesIn(dest string) int64 {
	l, err := rsbtbackup.List(context.Background(), dest)
	if err != nil {
		return 0 // the run itself reports why
	}
	for _, b := range slices.Backward(l.Backups) {
		if b.Record != nil && b.Record.Stats != nil {
			return b.Record.Stats.Files
		}
	}
	return 0
}

// done estimates the progress and the remaining time. rsync's percentage compares the bytes sent with all bytes. That
// is right if most files are sent; if most are skipped it would end at a few percent, and the number of files examined
// says more.
func (s progressSeen) done(elapsed time.Duration) (percent int, left string) {
	looked := s.Total - s.ToCheck
	switch {
	case s.Transferred*2 < looked:
		return int(looked * 100 / s.Total), clock(time.Duration(float64(elapsed) * float64(s.ToCheck) / float64(looked)))
	case s.ETA > 0:
		return s.Percent, clock(s.ETA)
	case s.Percent == 0 || s.Rate < 1:
		return s.Percent, "?"
	}
	seconds := float64(s.Bytes) * float64(100-s.Percent) / float64(s.Percent) / s.Rate
	return s.Percent, clock(time.Duration(seconds * float64(time.Second)))
}

// fit joins parts as long as they fit, so that a narrow terminal loses the last ones. All of them are ASCII.
func fit(width int, parts ...string) string {
	line := ""
	for i, part := range parts {
		if i > 0 {
			part = "  " + part
		}
		if len(line)+len(part) > width {
			break
		}
		line += part
	}
	return line
}

func gauge(percent, width int) string {
	done := max(0, min(width, width*percent/100))
	return "[" + strings.Repeat("=", done) + strings.Repeat(" ", width-done) + "]"
}

func spinner(elapsed time.Duration) string {
	return string(`|/-\`[elapsed/(200*time.Millisecond)%4])
}

func rate(s progressSeen) string { return size(int64(s.Rate)) + "/s" }

// clock is 0:07, 12:34 or 1:02:03.
func clock(d time.Duration) string {
	s := int(d / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
