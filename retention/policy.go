package retention

import (
	"fmt"
	"strconv"
)

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

// Rule is one rule of a policy, as text.
type Rule struct {
	Name  string // last, hourly, ..., within, within-hourly, ..., age
	Value string // a count, "unlimited", or a span as ParseSpan reads it
}

// Rules returns the rules that are set, in the order of their fields.
func (p Policy) Rules() (rules []Rule) {
	for _, c := range p.counts() {
		switch {
		case c.count == Unlimited:
			rules = append(rules, Rule{c.name, "unlimited"})
		case c.count != 0:
			rules = append(rules, Rule{c.name, strconv.Itoa(c.count)})
		}
	}
	for _, s := range p.spans() {
		if !s.span.IsZero() {
			rules = append(rules, Rule{s.name, s.span.String()})
		}
	}
	return rules
}

// Validate returns an error naming a count below Unlimited or a negative span.
func (p Policy) Validate() error {
	for _, c := range p.counts() {
		if c.count < Unlimited {
			return fmt.Errorf("retention policy: %s is negative: %d", c.name, c.count)
		}
	}
	for _, s := range p.spans() {
		if err := s.span.validate(); err != nil {
			return fmt.Errorf("retention policy: %s: %w", s.name, err)
		}
	}
	return nil
}

type namedCount struct {
	name  string
	count int
}

func (p Policy) counts() []namedCount {
	return []namedCount{
		{"last", p.Last},
		{"hourly", p.Hourly},
		{"daily", p.Daily},
		{"weekly", p.Weekly},
		{"monthly", p.Monthly},
		{"yearly", p.Yearly},
	}
}

type namedSpan struct {
	name string
	span Span
}

func (p Policy) spans() []namedSpan {
	return []namedSpan{
		{"within", p.Within},
		{"within-hourly", p.WithinHourly},
		{"within-daily", p.WithinDaily},
		{"within-weekly", p.WithinWeekly},
		{"within-monthly", p.WithinMonthly},
		{"within-yearly", p.WithinYearly},
		{"age", p.Age},
	}
}

func (p Policy) hasWithin() bool {
	return p.Within != Span{} || p.WithinHourly != Span{} || p.WithinDaily != Span{} ||
		p.WithinWeekly != Span{} || p.WithinMonthly != Span{} || p.WithinYearly != Span{}
}
