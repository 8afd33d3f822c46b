package pace_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/pace"
)

// TestMeterStops: waiting for the limit ends with the context, with its cause.
func TestMeterStops(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	var sent uint64
	m := &pace.Meter{Ctx: ctx, R: bytes.NewReader(make([]byte, 1<<20)), Limit: pace.New(1 << 10), Sent: func(n uint64) {
		if sent = n; n > 2<<10 {
			cancel(why)
		}
	}}
	n, err := io.Copy(io.Discard, m)
	if !errors.Is(err, why) || n > 4<<10 || uint64(n) != sent {
		t.Errorf("%d bytes, %d told, %v", n, sent, err)
	}
}
