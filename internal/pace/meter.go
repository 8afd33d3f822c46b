package pace

import (
	"context"
	"errors"
	"io"

	"golang.org/x/time/rate"
)

// Meter counts what passes through it, and limits its rate.
type Meter struct {
	Ctx   context.Context
	R     io.Reader
	Limit *rate.Limiter // nil: none
	Sent  func(uint64)  // nil: not wanted
	N     uint64
	Ended bool // there is no more to read
}

func (m *Meter) Read(p []byte) (int, error) {
	if m.Limit != nil && len(p) > m.Limit.Burst() {
		p = p[:m.Limit.Burst()]
	}
	n, err := m.R.Read(p)
	m.Ended = errors.Is(err, io.EOF)
	m.Passed(n)
	if m.Limit != nil {
		if waitErr := Wait(m.Ctx, m.Limit, int64(n)); waitErr != nil {
			return n, waitErr
		}
	}
	return n, err
}

// Passed counts n bytes that took another way.
func (m *Meter) Passed(n int) {
	m.N += uint64(n)
	if m.Sent != nil {
		m.Sent(m.N)
	}
}
