package replica

import (
	"context"
	"errors"
	"io"

	"golang.org/x/time/rate"

	"github.com/rsbtbackup/rsbtbackup/internal/pace"
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
	m.ended = errors.Is(err, io.EOF)
	m.passed(n)
	if m.limit != nil {
		if waitErr := pace.Wait(m.ctx, m.limit, int64(n)); waitErr != nil {
			return n, waitErr
		}
	}
	return n, err
}

func (m *meter) passed(n int) {
	m.n += uint64(n)
	if m.sent != nil {
		m.sent(m.n)
	}
}
