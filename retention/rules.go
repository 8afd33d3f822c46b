package retention

import (
	"fmt"
	"time"
)

// bucket is one kind of calendar period. Its label is unique to the period a time falls into, in the zone of that time.
type bucket struct {
	name  string
	label func(time.Time) string
}

func (s series) applyBuckets(p Policy, ref *Decision, now time.Time) {
	s.keepLast(p.Last)
	for _, rule := range []struct {
		bucket bucket
		count  int
		within Span
	}{
		{bucket{"hourly", hour}, p.Hourly, p.WithinHourly},
		{bucket{"daily", day}, p.Daily, p.WithinDaily},
		{bucket{"weekly", isoWeek}, p.Weekly, p.WithinWeekly},
		{bucket{"monthly", month}, p.Monthly, p.WithinMonthly},
		{bucket{"yearly", year}, p.Yearly, p.WithinYearly},
	} {
		s.keepCount(rule.bucket, rule.count)
		s.keepWithin(rule.bucket, rule.within, ref, now)
	}
}

func hour(t time.Time) string  { return t.Format("2006-01-02 15h") }
func day(t time.Time) string   { return t.Format("2006-01-02") }
func month(t time.Time) string { return t.Format("2006-01") }
func year(t time.Time) string  { return t.Format("2006") }

func isoWeek(t time.Time) string {
	year, week := t.ISOWeek()
	return fmt.Sprintf("%04d-W%02d", year, week)
}

func (s series) keepLast(n int) {
	for i, d := range s {
		switch {
		case n == Unlimited:
			d.keep("last, unlimited")
		case i < n:
			d.keep(fmt.Sprintf("last %d of %d", i+1, n))
		}
	}
}

// keepCount keeps the newest backup of each of the first n buckets it meets.
func (s series) keepCount(b bucket, n int) {
	seen := map[string]bool{}
	for i, d := range s {
		if n != Unlimited && len(seen) >= n {
			return
		}
		label := b.label(d.Backup.Time)
		switch {
		case !seen[label]:
			d.keep(b.name + " " + label)
		case i == len(s)-1:
			d.keep("oldest " + b.name)
		}
		seen[label] = true
	}
}

// keepWithin keeps the newest backup of each bucket if it lies within the span. The newest is chosen before the span is
// looked at: chosen after, one backup leaving the span could bring back another of its bucket.
func (s series) keepWithin(b bucket, span Span, ref *Decision, now time.Time) {
	if span.IsZero() {
		return
	}
	end := cutoff(span, ref, now)
	seen := map[string]bool{}
	for i, d := range s {
		label := b.label(d.Backup.Time)
		first, last := !seen[label], i == len(s)-1
		seen[label] = true
		switch {
		case !d.Backup.Time.After(end):
		case first:
			d.keep(fmt.Sprintf("%s %s within %v", b.name, label, span))
		case last:
			d.keep(fmt.Sprintf("oldest %s within %v", b.name, span))
		}
	}
}

func (s series) applyWithin(span Span, ref *Decision, now time.Time) {
	if !span.IsZero() {
		s.keepAfter(cutoff(span, ref, now), fmt.Sprintf("within %v", span))
	}
}

func (s series) applyAge(age Span, now time.Time) {
	if !age.IsZero() {
		s.keepAfter(age.Before(now), fmt.Sprintf("younger than %v", age))
	}
}

func (s series) keepFuture(now time.Time) { s.keepAfter(now, "in the future") }

func (s series) keepAfter(end time.Time, reason string) {
	for _, d := range s {
		if d.Backup.Time.After(end) {
			d.keep(reason)
		}
	}
}

// reference returns the backup with the latest time that is not after now, or nil.
func reference(s series, now time.Time) *Decision {
	var latest *Decision
	for _, d := range s {
		t := d.Backup.Time
		if !t.After(now) && (latest == nil || t.After(latest.Backup.Time)) {
			latest = d
		}
	}
	return latest
}

// cutoff is the end of a span before ref, all in the zone of now, so that cutoffs never move back because the next
// reference is in another zone. With no reference everything lies in the future, and nothing is cut off.
func cutoff(span Span, ref *Decision, now time.Time) time.Time {
	if ref == nil {
		return now
	}
	return span.Before(ref.Backup.Time.In(now.Location()))
}
