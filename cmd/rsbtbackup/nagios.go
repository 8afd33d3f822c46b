// check --nagios: one line and an exit code, in the format of monitoring-plugins.org.

package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

const (
	nagiosOK       = 0
	nagiosWarning  = 1
	nagiosCritical = 2
	nagiosUnknown  = 3
)

// silentError is an exit code without a message: everything was printed.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func nagiosWord(level int) string {
	return []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[level]
}

// nagiosLevel is that of one DEST. A DEST that could not be read is unknown; a missing DEST is critical.
func nagiosLevel(d checked) int {
	gone := errors.Is(d.err, rsbtbackup.ErrDest) || errors.Is(d.err, rsbtbackup.ErrNotBtrfs) || errors.Is(d.err, rsbtbackup.ErrNotInitialized)
	switch {
	case d.err != nil && !errors.Is(d.err, rsbtbackup.ErrCheck) && !gone:
		return nagiosUnknown
	case d.err != nil:
		return nagiosCritical
	case d.report.Level == rsbtbackup.CheckWarn:
		return nagiosWarning
	}
	return nagiosOK
}

// nagiosRank orders levels: critical before unknown, before warning.
func nagiosRank(level int) int { return []int{0, 1, 3, 2}[level] }

func nagiosStatus(u *ui, all []checked, now time.Time) error {
	worst := nagiosOK
	for _, d := range all {
		if level := nagiosLevel(d); nagiosRank(level) > nagiosRank(worst) {
			worst = level
		}
	}
	var texts, figures []string
	for _, d := range all {
		switch level := nagiosLevel(d); {
		case level == worst && (level != nagiosOK || len(all) == 1): // the line begins with the level
			texts = append(texts, checkSummary(d.report))
		case level != nagiosOK:
			texts = append(texts, nagiosWord(level)+" "+checkSummary(d.report))
		}
		figures = append(figures, nagiosFigures(d, now)...)
	}
	line := strings.Join(texts, "; ")
	if worst == nagiosOK && len(all) > 1 {
		line = plural(int64(len(all)), "DEST") + " checked, all well"
	}
	return nagiosLine(u, worst, line, figures)
}

// unknownStatus is for a check that did not begin.
func unknownStatus(u *ui, err error) error { return nagiosLine(u, nagiosUnknown, oneLine(err), nil) }

// nagiosLine prints the one line. A "|" in the text would begin the figures.
func nagiosLine(u *ui, level int, text string, figures []string) error {
	line := "RSBTBACKUP " + nagiosWord(level) + " - " + strings.ReplaceAll(text, "|", "/")
	if len(figures) > 0 {
		line += " | " + strings.Join(figures, " ")
	}
	u.result(line)
	if level == nagiosOK {
		return nil
	}
	return &silentError{level}
}

// nagiosFigures are the age of the newest complete backup, in seconds, and the free space, each with its critical
// limit.
func nagiosFigures(d checked, now time.Time) []string {
	if !d.listFound {
		return nil
	}
	name := strings.NewReplacer("'", "''", "=", "-").Replace(cmp.Or(d.job.Name, d.report.Dest))
	var figures []string
	if !d.newest.IsZero() {
		limit := cmp.Or(d.job.Check.Options.MaxAge, 26*time.Hour)
		figures = append(figures, fmt.Sprintf("'%s age'=%.0fs;;%.0f;0", name, max(0, now.Sub(d.newest).Seconds()), limit.Seconds()))
	}
	least := cmp.Or(d.job.Check.Options.MinFree, rsbtbackup.MinFree{Percent: 5})
	bytes := uint64(least.Bytes)
	if least.Percent > 0 {
		bytes = uint64(least.Percent / 100 * float64(d.total))
	}
	return append(figures, fmt.Sprintf("'%s free'=%dB;;%d:;0;%d", name, d.free, bytes, d.total))
}
