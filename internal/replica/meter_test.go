package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

func TestParseRate(t *testing.T) {
	for _, tt := range []struct {
		text string
		want uint64
	}{
		{"", 0}, {"0", 0}, {"500", 500 << 10}, {"500k", 500 << 10}, {"500K", 500 << 10}, {"1.5m", 3 << 19}, {"1MiB", 1 << 20},
		{"1mb", 1000_000}, {"2G", 2 << 30}, {"700b", 700}, {".5k", 512}, {"1t", 1 << 40}, {"0.0001b", 1},
	} {
		if got, err := parseRate(tt.text); err != nil || got != tt.want {
			t.Errorf("parseRate(%q) = %d, %v; want %d", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"x", "-1", "1 m", "1q", "10m/s", "99999999p", "1e9"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("parseRate(%q) = %d", text, got)
		}
	}
}

// TestMeterStops: waiting for the limit ends with the context, with its cause.
func TestMeterStops(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	var sent uint64
	m := &meter{ctx: ctx, r: bytes.NewReader(make([]byte, 1<<20)), limit: newLimit(1 << 10), sent: func(n uint64) {
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
