package retention

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxUnits bounds every field of a Span, far from where its arithmetic overflows.
const maxUnits = 1_000_000

// Span is a length of calendar time. The zero value is no span.
type Span struct{ Years, Months, Days, Hours int }

// ParseSpan reads a span like "30d", "3m", "1y6m", "2w" or "1y2m3d4h": positive numbers with the units h (hours), d
// (days), w (weeks of 7 days), m (months) and y (years), each unit at most once, in any order.
func ParseSpan(s string) (Span, error) {
	var span Span
	if s == "" {
		return Span{}, spanError(s, "it is empty")
	}
	seen := ""
	for rest := s; rest != ""; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 {
			return Span{}, spanError(s, "")
		}
		if digits == len(rest) {
			return Span{}, spanError(s, "a unit (h, d, w, m, y) is missing after "+rest)
		}
		unit := rest[digits]
		n, err := strconv.Atoi(rest[:digits])
		if err != nil {
			n = math.MaxInt
		}
		if n == 0 {
			return Span{}, spanError(s, "it has a zero")
		}
		if strings.IndexByte(seen, unit) >= 0 {
			return Span{}, spanError(s, fmt.Sprintf("the unit %c is repeated", unit))
		}
		seen += string(unit)
		if !span.add(min(n, maxUnits+1), unit) {
			return Span{}, spanError(s, "")
		}
		rest = rest[digits+1:]
	}
	if err := span.validate(); err != nil {
		return Span{}, spanError(s, err.Error())
	}
	return span, nil
}

func spanError(s, cause string) error {
	text := fmt.Sprintf("%q is no time span such as 12h, 30d, 2w, 6m or 1y6m (m is months)", s)
	if cause != "" {
		text += ": " + cause
	}
	return errors.New(text)
}

func (s *Span) add(n int, unit byte) (known bool) {
	switch unit {
	case 'h':
		s.Hours += n
	case 'd':
		s.Days += n
	case 'w':
		s.Days += 7 * n
	case 'm':
		s.Months += n
	case 'y':
		s.Years += n
	default:
		return false
	}
	return true
}

func (s Span) validate() error {
	for _, n := range []int{s.Years, s.Months, s.Days, s.Hours} {
		if n < 0 {
			return errors.New("it is negative")
		}
		if n > maxUnits {
			return fmt.Errorf("it has more than %d of a unit", maxUnits)
		}
	}
	return nil
}

// IsZero reports whether s is no span.
func (s Span) IsZero() bool { return s == Span{} }

// String returns the span as ParseSpan reads it, without weeks; "0h" for none.
func (s Span) String() string {
	var b strings.Builder
	for _, part := range []struct {
		n    int
		unit string
	}{{s.Years, "y"}, {s.Months, "m"}, {s.Days, "d"}, {s.Hours, "h"}} {
		if part.n != 0 {
			b.WriteString(strconv.Itoa(part.n) + part.unit)
		}
	}
	if b.Len() == 0 {
		return "0h"
	}
	return b.String()
}

// Before returns the moment that lies the span before t, in t's zone: the same time of day on the day that many years
// and months, then days, earlier; then the hours, as time that passes. A day that the month does not have counts as the
// end of the month, so "1m" before 31 March is 1 March, 00:00.
//
// It never moves back while t moves on. A time of day that the clock skipped is the moment of the skip, one that it
// showed twice is the first of the two, and while t repeats an hour, the result waits at that hour's end.
func (s Span) Before(t time.Time) time.Time {
	if s.Years != 0 || s.Months != 0 || s.Days != 0 {
		t = onClock(s.calendarBefore(clock(t)), t.Location())
	}
	return t.Add(-time.Duration(s.Hours) * time.Hour)
}

func (s Span) calendarBefore(clock time.Time) time.Time {
	first := time.Date(clock.Year()-s.Years, clock.Month()-time.Month(s.Months), 1, 0, 0, 0, 0, time.UTC)
	next := first.AddDate(0, 1, 0)
	sameDay := first.Add(clock.Sub(time.Date(clock.Year(), clock.Month(), 1, 0, 0, 0, 0, time.UTC)))
	if sameDay.After(next) {
		sameDay = next
	}
	return sameDay.AddDate(0, 0, -s.Days)
}

// clock returns what a clock on the wall shows at t, as a time in UTC, but stays at the end of an hour while that hour
// is repeated.
func clock(t time.Time) time.Time {
	if turn, back := lastTurn(t); back > 0 && t.Before(turn.Add(back)) {
		t = turn
		return shown(t).Add(back)
	}
	return shown(t)
}

func shown(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// onClock returns the first moment at which a clock in loc shows at least the given time. time.Date promises less: it
// may choose either of two.
func onClock(clock time.Time, loc *time.Location) time.Time {
	y, m, d := clock.Date()
	t := time.Date(y, m, d, clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), loc)
	start, end := t.ZoneBounds()
	switch got := shown(t); {
	case got.After(clock):
		return start
	case got.Before(clock):
		return end
	}
	if turn, back := lastTurn(t); back > 0 && t.Before(turn.Add(back)) {
		return t.Add(-back)
	}
	return t
}

// lastTurn returns when the clock was last changed before t, and by how much it was turned back; negative for forward.
func lastTurn(t time.Time) (turn time.Time, back time.Duration) {
	turn, _ = t.ZoneBounds()
	if turn.IsZero() {
		return turn, 0
	}
	_, after := turn.Zone()
	_, before := turn.Add(-1).Zone()
	return turn, time.Duration(before-after) * time.Second
}
