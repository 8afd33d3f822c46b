// The flags with the rules for keeping backups, in restic's notation.

package main

import (
	"github.com/alecthomas/kong"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

type keepFlags struct {
	KeepLast    keepCount `placeholder:"N" help:"Keep the newest N backups. N is a number from 1 or 'unlimited', also in the next five options."`
	KeepHourly  keepCount `placeholder:"N" help:"Keep the newest backup of each of the last N hours that have one."`
	KeepDaily   keepCount `placeholder:"N" help:"The same by days."`
	KeepWeekly  keepCount `placeholder:"N" help:"The same by ISO weeks."`
	KeepMonthly keepCount `placeholder:"N" help:"The same by months."`
	KeepYearly  keepCount `placeholder:"N" help:"The same by years."`

	KeepWithin        keepSpan `placeholder:"SPAN" help:"Keep what is less than SPAN older than the latest backup: 12h, 30d, 2w, 6m, 1y6m (m is months)."`
	KeepWithinHourly  keepSpan `placeholder:"SPAN" help:"Of the backups within SPAN, keep the newest of each hour."`
	KeepWithinDaily   keepSpan `placeholder:"SPAN" help:"The same by days."`
	KeepWithinWeekly  keepSpan `placeholder:"SPAN" help:"The same by ISO weeks."`
	KeepWithinMonthly keepSpan `placeholder:"SPAN" help:"The same by months."`
	KeepWithinYearly  keepSpan `placeholder:"SPAN" help:"The same by years."`
}

func (k *keepFlags) policy() retention.Policy {
	return retention.Policy{
		Last: int(k.KeepLast), Hourly: int(k.KeepHourly), Daily: int(k.KeepDaily),
		Weekly: int(k.KeepWeekly), Monthly: int(k.KeepMonthly), Yearly: int(k.KeepYearly),
		Within: retention.Span(k.KeepWithin), WithinHourly: retention.Span(k.KeepWithinHourly), WithinDaily: retention.Span(k.KeepWithinDaily),
		WithinWeekly: retention.Span(k.KeepWithinWeekly), WithinMonthly: retention.Span(k.KeepWithinMonthly), WithinYearly: retention.Span(k.KeepWithinYearly),
	}
}

// keepCount is a number of backups. A typed 0 can only be a mistake.
type keepCount int

// Decode reads 7, or unlimited, for which restic also has -1. Kong would read a value with a dash as a flag.
func (c *keepCount) Decode(ctx *kong.DecodeContext) error {
	s, err := popString(ctx)
	if err != nil {
		return err
	}
	return c.set(s)
}

func (c *keepCount) set(s string) error {
	n, err := config.ParseCount(s)
	*c = keepCount(n)
	return err
}

// keepSpan is calendar time.
type keepSpan retention.Span

// UnmarshalText reads 30d or 1y6m.
func (s *keepSpan) UnmarshalText(text []byte) error {
	span, err := retention.ParseSpan(string(text))
	*s = keepSpan(span)
	return err
}

// freeSpace is an amount of free space.
type freeSpace rsbtbackup.MinFree

// UnmarshalText reads 50G, 512MiB or 10%.
func (f *freeSpace) UnmarshalText(text []byte) error {
	m, err := config.ParseSpace(string(text))
	*f = freeSpace(m)
	return err
}
