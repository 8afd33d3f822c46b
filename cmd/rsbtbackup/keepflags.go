// The flags that say what to keep, in restic's spellings.

package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/dustin/go-humanize"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

type keepFlags struct {
	KeepLast    keepCount `placeholder:"N" help:"Keep the newest N backups. N is a number from 1 or 'unlimited', as in the next five."`
	KeepHourly  keepCount `placeholder:"N" help:"Keep the newest backup of each of the last N hours that have one."`
	KeepDaily   keepCount `placeholder:"N" help:"The same by days."`
	KeepWeekly  keepCount `placeholder:"N" help:"The same by ISO weeks."`
	KeepMonthly keepCount `placeholder:"N" help:"The same by months."`
	KeepYearly  keepCount `placeholder:"N" help:"The same by years."`

	KeepWithin        keepSpan `placeholder:"SPAN" help:"Keep what is less than SPAN older than the latest backup: 12h, 30d, 2w, 6m, 1y6m (m is months)."`
	KeepWithinHourly  keepSpan `placeholder:"SPAN" help:"Of those, keep the newest of each hour."`
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

// keepCount is a number of backups. A 0 that was typed can only be a mistake.
type keepCount int

// Decode reads 7, or unlimited, for which restic also has -1. Kong by itself
// would take a value with a dash for a flag.
func (c *keepCount) Decode(ctx *kong.DecodeContext) error {
	s, err := popString(ctx)
	if err != nil {
		return err
	}
	return c.set(s)
}

func (c *keepCount) set(s string) error {
	if s == "unlimited" || s == "-1" {
		*c = retention.Unlimited
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is neither a number from 1 to %d nor unlimited", s, math.MaxInt32)
	}
	*c = keepCount(n)
	return nil
}

// keepSpan is calendar time.
type keepSpan retention.Span

// UnmarshalText reads 30d or 1y6m.
func (s *keepSpan) UnmarshalText(text []byte) error {
	span, err := retention.ParseSpan(string(text))
	*s = keepSpan(span)
	return err
}

// freeSpace is an amount to have free.
type freeSpace rsbtbackup.MinFree

// UnmarshalText reads 50G, 512MiB or 10%.
func (f *freeSpace) UnmarshalText(text []byte) error {
	s := string(text)
	number, isShare := strings.CutSuffix(s, "%")
	var err error
	if isShare {
		err = f.setPercent(number)
	} else {
		err = f.setBytes(s)
	}
	if err != nil {
		return fmt.Errorf("%q is no amount such as 50G, 512MiB or 10%%: %w", s, err)
	}
	return nil
}

func (f *freeSpace) setPercent(number string) error {
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return errors.New("not a number")
	}
	if !(percent > 0 && percent < 100) { // NaN is in no range
		return errors.New("want more than 0% and less than 100%")
	}
	f.Percent = percent
	return nil
}

func (f *freeSpace) setBytes(s string) error {
	n, err := humanize.ParseBytes(s)
	switch {
	case err != nil:
		return errors.New("want a number with a unit of 1000 (k, M, G, T) or 1024 (KiB, MiB, GiB, TiB)")
	case n == 0:
		return errors.New("want more than 0")
	case n > math.MaxInt64:
		return errors.New("too large")
	}
	f.Bytes = int64(n)
	return nil
}
