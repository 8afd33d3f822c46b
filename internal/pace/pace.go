// Package pace limits how many bytes pass in a second, as rsync's --bwlimit does.
package pace

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// New is nil for no limit. Its burst is a tenth of a second.
func New(bytesPerSecond uint64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	const least, most = 1 << 10, 1 << 20
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/10, least), most)))
}

// Step returns a function that is called after each n bytes. It waits until more may pass, or returns the cause of the
// end of ctx. A rate that cannot be read is no limit: rsync refuses it.
func Step(ctx context.Context, bwlimit string) func(n int64) error {
	bytesPerSecond, err := Parse(bwlimit)
	limit := New(bytesPerSecond)
	if err != nil || limit == nil {
		return func(int64) error { return nil }
	}
	return func(n int64) error { return Wait(ctx, limit, n) }
}

// Wait returns when n more bytes may pass, or with the cause of the end of ctx.
func Wait(ctx context.Context, limit *rate.Limiter, n int64) error {
	for n > 0 {
		part := min(n, int64(limit.Burst()))
		if limit.WaitN(ctx, int(part)) != nil {
			<-ctx.Done() // also when its deadline would come before the wait is over
			return context.Cause(ctx)
		}
		n -= part
	}
	return nil
}

var rateFormat = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+|[0-9]*\.[0-9]+)([bBkKmMgGtTpP]([iI]?[bB])?)?([+-]1)?$`)
})

// Parse reads a rate in the format of rsync's --bwlimit: KiB per second, or with a suffix. 0 is no limit.
func Parse(s string) (bytesPerSecond uint64, err error) {
	if s == "" {
		return 0, nil
	}
	m := rateFormat().FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("bwlimit %q: want a rate such as 500k, 10m or 1.5m", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, fmt.Errorf("bwlimit %q: %w", s, err)
	}
	base := 1024.0
	if strings.EqualFold(m[3], "b") {
		base = 1000
	}
	unit := map[string]float64{"b": 1, "": base, "k": base, "m": base * base, "g": base * base * base, "t": math.Pow(base, 4), "p": math.Pow(base, 5)}[strings.ToLower(m[2][:min(1, len(m[2]))])]
	perSecond := n * unit
	if perSecond >= math.MaxInt64 {
		return 0, fmt.Errorf("bwlimit %q: it is too large", s)
	}
	if perSecond > 0 && perSecond < 1 {
		return 1, nil
	}
	return uint64(perSecond), nil
}
