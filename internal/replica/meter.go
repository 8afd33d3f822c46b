package replica

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// meter tells how much has gone through it, and lets no more through than it may.
type meter struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter // nil: none
	sent  func(uint64)  // nil: nobody asks
	n     uint64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.limit != nil && len(p) > m.limit.Burst() {
		p = p[:m.limit.Burst()]
	}
	n, err := m.r.Read(p)
	m.n += uint64(n)
	if m.sent != nil {
		m.sent(m.n)
	}
	if m.limit != nil && n > 0 {
		if waitErr := m.limit.WaitN(m.ctx, n); waitErr != nil {
			<-m.ctx.Done() // also when its deadline would come before the wait is over
			return n, context.Cause(m.ctx)
		}
	}
	return n, err
}

// newLimit is nil for no limit. It lets through a tenth of a second at once, so that a slow one does not come in bursts.
func newLimit(bytesPerSecond uint64) *rate.Limiter {
	if bytesPerSecond == 0 {
		return nil
	}
	const least, most = 1 << 10, 1 << 20
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/10, least), most)))
}
