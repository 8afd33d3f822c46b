// Numbers for people.

package main

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

func checkBwlimit(rate string) error {
	if rate != "" && !config.IsRate(rate) {
		return fmt.Errorf("--bwlimit=%s: want a rate such as 500k, 10m or 1.5m", rate)
	}
	return nil
}

// size is a number of bytes in units of 1000, as disks are sold: "1.2 MB".
func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// count has a comma every three digits.
func count(n int64) string { return humanize.Comma(n) }

// plural is a count with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// took is a duration with a useful precision.
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// age is how long ago a backup was made, in its two largest units: "3d 4h".
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "in the future"
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d < 365*day:
		return fmt.Sprintf("%dd %dh", d/day, d%day/time.Hour)
	}
	return fmt.Sprintf("%dy %dd", d/(365*day), d%(365*day)/day)
}

// about is the sign before an estimate.
func about(atMost bool) string {
	if atMost {
		return "at most "
	}
	return "about "
}
