// What is written as text: times, amounts, rates. The flags of the command are read by the same functions.

package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// ParseTime reads 90 (seconds), 90s or 1h30m.
func ParseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if n, notNumber := strconv.ParseUint(s, 10, 31); notNumber == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time such as 90, 10m or 1h30m", s)
	}
	return d, nil
}

// ParseAge is ParseTime for the age of a backup: 26 or 72 alone would be seconds, which nobody means.
func ParseAge(s string) (time.Duration, error) {
	d, err := ParseTime(s)
	if err == nil && 0 < d && d < 5*time.Minute && isNumber(s) {
		return 0, fmt.Errorf("%s alone is %s seconds: for hours write %sh", s, s, s)
	}
	if days, found := strings.CutSuffix(s, "d"); found {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return 0, fmt.Errorf("%q: a time has no days: for hours write %dh", s, 24*n)
		}
	}
	return d, err
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

// ParseCount reads a number of backups from 1, or unlimited, for which restic also has -1.
func ParseCount(s string) (int, error) {
	if s == "unlimited" || s == "-1" {
		return retention.Unlimited, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is neither a number from 1 to %d nor unlimited", s, math.MaxInt32)
	}
	return int(n), nil
}

// ParseSpace reads 50G, 512MiB or 10%.
func ParseSpace(s string) (rsbtbackup.MinFree, error) {
	number, isShare := strings.CutSuffix(s, "%")
	read := parseBytes
	if isShare {
		read = parsePercent
	}
	m, err := read(number)
	if err != nil {
		return m, fmt.Errorf("%q is no amount such as 50G, 512MiB or 10%%: %w", s, err)
	}
	return m, nil
}

func parsePercent(number string) (rsbtbackup.MinFree, error) {
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return rsbtbackup.MinFree{}, errors.New("not a number")
	}
	if !(percent > 0 && percent < 100) { // NaN is in no range
		return rsbtbackup.MinFree{}, errors.New("want more than 0% and less than 100%")
	}
	return rsbtbackup.MinFree{Percent: percent}, nil
}

func parseBytes(s string) (rsbtbackup.MinFree, error) {
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil:
		return rsbtbackup.MinFree{}, errors.New("want a number with a unit of 1000 (k, M, G, T) or 1024 (KiB, MiB, GiB, TiB)")
	case n == 0:
		return rsbtbackup.MinFree{}, errors.New("want more than 0")
	case n > math.MaxInt64:
		return rsbtbackup.MinFree{}, errors.New("too large")
	case n < 1<<20 && isNumber(s):
		return rsbtbackup.MinFree{}, fmt.Errorf("%s alone is %s bytes: a unit is missing, as in 10G or 10%%", s, s)
	}
	return rsbtbackup.MinFree{Bytes: int64(n)}, nil
}

// rate is what rsync takes for --bwlimit: a number, in KiB if nothing else is said, a unit, and one byte more or less.
var rate = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+|[0-9]*\.[0-9]+)([bBkKmMgGtTpP]([iI]?[bB])?)?([+-]1)?$`)
})

// IsRate reports whether rsync takes s for --bwlimit.
func IsRate(s string) bool { return rate().MatchString(s) }

// Every is how often something is due. The zero value is never.
type Every struct {
	Span   retention.Span
	Always bool
}

// Due reports whether it is time again, after it was last done then; the zero time is never.
func (e Every) Due(last, now time.Time) bool {
	switch {
	case e.Always:
		return true
	case e.Span.IsZero():
		return false
	}
	return !last.After(e.Span.Before(now)) // a last time in the future is a wrong clock: wait for it
}

// Never reports whether e is the zero value.
func (e Every) Never() bool { return e == Every{} }

func parseEvery(s string) (Every, error) {
	if s == "always" {
		return Every{Always: true}, nil
	}
	span, err := retention.ParseSpan(s)
	if err != nil {
		return Every{}, fmt.Errorf("%q is neither always nor a span such as 12h, 7d or 1m (a month)", s)
	}
	return Every{Span: span}, nil
}

// RateWindow is a limit of the transfer between two times of day.
type RateWindow struct {
	From, To int // minutes after midnight; From > To goes past it
	Rate     string
}

var window = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([01]?[0-9]|2[0-4]):([0-5][0-9])-([01]?[0-9]|2[0-4]):([0-5][0-9]) +(\S+)$`)
})

// parseWindow reads "08:00-18:00 1m". Unlimited is 0, as rsync has it.
func parseWindow(s string) (RateWindow, error) {
	m := window().FindStringSubmatch(s)
	if m == nil || !IsRate(m[5]) {
		return RateWindow{}, fmt.Errorf("%q is no time of day and rate such as \"08:00-18:00 1m\"", s)
	}
	w := RateWindow{minutes(m[1], m[2]), minutes(m[3], m[4]), m[5]}
	if w.From > 24*60 || w.To > 24*60 {
		return RateWindow{}, fmt.Errorf("%q: a day ends at 24:00", s)
	}
	if w.From == w.To {
		return RateWindow{}, fmt.Errorf("%q: both times are the same", s)
	}
	return w, nil
}

// minutes is of digits that a pattern has matched.
func minutes(hour, minute string) int {
	h, _ := strconv.Atoi(hour)
	m, _ := strconv.Atoi(minute)
	return 60*h + m
}

func (w RateWindow) covers(t time.Time) bool {
	now := 60*t.Hour() + t.Minute()
	if w.From < w.To {
		return w.From <= now && now < w.To
	}
	return w.From <= now || now < w.To
}

// BwlimitAt is the limit for a transfer that begins at t, in t's time zone: the first window that covers it, or else
// Backup.Bwlimit.
func (j Job) BwlimitAt(t time.Time) string {
	for _, w := range j.Bwlimits {
		if w.covers(t) {
			return w.Rate
		}
	}
	return j.Backup.Bwlimit
}
