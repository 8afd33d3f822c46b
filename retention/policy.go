package retention

import "fmt"

// Unlimited as a count keeps every backup of its kind.
const Unlimited = -1

// Policy is a set of rules; the package comment says what each keeps. A zero field is not a rule.
type Policy struct {
	// The newest N backups, and the newest of each of the last N hours, days, ... A count is positive, 0 for no rule,
	// or Unlimited.
	Last, Hourly, Daily, Weekly, Monthly, Yearly int

	// Spans before the latest backup.
	Within                                                               Span
	WithinHourly, WithinDaily, WithinWeekly, WithinMonthly, WithinYearly Span

	// Age keeps what is younger than this, as of now.
	Age Span
}

// IsEmpty reports whether the policy has no rules. Apply then keeps everything; a command should refuse it.
func (p Policy) IsEmpty() bool { return p == Policy{} }

// Validate returns an error naming a count below Unlimited or a negative span.
func (p Policy) Validate() error {
	for _, c := range []struct {
		name  string
		count int
	}{
		{"last", p.Last},
		{"hourly", p.Hourly},
		{"daily", p.Daily},
		{"weekly", p.Weekly},
		{"monthly", p.Monthly},
		{"yearly", p.Yearly},
	} {
		if c.count < Unlimited {
			return fmt.Errorf("retention policy: %s is negative: %d", c.name, c.count)
		}
	}
	for _, s := range []struct {
		name string
		span Span
	}{
		{"within", p.Within},
		{"within-hourly", p.WithinHourly},
		{"within-daily", p.WithinDaily},
		{"within-weekly", p.WithinWeekly},
		{"within-monthly", p.WithinMonthly},
		{"within-yearly", p.WithinYearly},
		{"age", p.Age},
	} {
		if err := s.span.validate(); err != nil {
			return fmt.Errorf("retention policy: %s: %w", s.name, err)
		}
	}
	return nil
}

func (p Policy) hasWithin() bool {
	return p.Within != Span{} || p.WithinHourly != Span{} || p.WithinDaily != Span{} ||
		p.WithinWeekly != Span{} || p.WithinMonthly != Span{} || p.WithinYearly != Span{}
}
