package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/pace"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// TestMeterStops: waiting for the limit ends with the context, with its cause.
func TestMeterStops(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	var sent uint64
	m := &meter{ctx: ctx, r: bytes.NewReader(make([]byte, 1<<20)), limit: pace.New(1 << 10), sent: func(n uint64) {
		if sent = n; n > 2<<10 {
			cancel(why)
		}
	}}
	n, err := io.Copy(io.Discard, m)
	if !errors.Is(err, why) || n > 4<<10 || uint64(n) != sent {
		t.Errorf("%d bytes, %d told, %v", n, sent, err)
	}
}

// TestKeepFlags: the other side is given each rule there is.
func TestKeepFlags(t *testing.T) {
	p := retention.Policy{
		Last: 1, Hourly: 2, Daily: 3, Weekly: 4, Monthly: 5, Yearly: retention.Unlimited,
		Within: retention.Span{Days: 6}, WithinHourly: retention.Span{Hours: 7}, WithinDaily: retention.Span{Days: 8},
		WithinWeekly: retention.Span{Days: 9}, WithinMonthly: retention.Span{Months: 10}, WithinYearly: retention.Span{Years: 11, Months: 1},
	}
	want := "--keep-last=1 --keep-hourly=2 --keep-daily=3 --keep-weekly=4 --keep-monthly=5 --keep-yearly=unlimited --keep-within=6d " +
		"--keep-within-hourly=7h --keep-within-daily=8d --keep-within-weekly=9d --keep-within-monthly=10m --keep-within-yearly=11y1m"
	if got := strings.Join(keepFlags(p), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
