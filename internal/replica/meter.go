package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/time/rate"
)

// meter counts what passes through it, and limits its rate.
type meter struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter // nil: none
	sent  func(uint64)  // nil: not wanted
	n     uint64
	ended bool // there is no more to read
}

func (m *meter) Read(p []byte) (int, error) {
	if m.limit != nil && len(p) > m.limit.Burst() {
		p = p[:m.limit.Burst()]
	}
	n, err := m.r.Read(p)
	m.n += uint64(n)
	m.ended = errors.Is(err, io.EOF)
	if m.sent != nil {
		m.sent(m.n)
	}
	if m.limit != nil && n > 0 {
		if waitErr := m.limit.WaitN(m.ctx, n); waitErr != nil {
			<-m.ctx.Done() // even if the deadline of ctx is before the end of the wait
			return n, context.Cause(m.ctx)
		}
	}
	return n, err
}

// newLimit is nil for no limit. Its burst is a tenth of a second.
func newLimit(bytesPerSecond uint64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	const least, most = 1 << 10, 1 << 20
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/10, least), most)))
}

var rateFormat = regexp.MustCompile(`^([0-9]+|[0-9]*\.[0-9]+)([bBkKmMgGtTpP]([iI]?[bB])?)?([+-]1)?$`)

// parseRate reads a rate in the format of rsync's --bwlimit: KiB per second, or with a suffix. 0 is no limit.
func parseRate(s string) (bytesPerSecond uint64, err error) {
	if s == "" {
		return 0, nil
	}
	m := rateFormat.FindStringSubmatch(s)
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
