package pace

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want uint64
	}{
		{"", 0}, {"0", 0}, {"500", 500 << 10}, {"500k", 500 << 10}, {"500K", 500 << 10}, {"1.5m", 3 << 19}, {"1MiB", 1 << 20},
		{"1mb", 1000_000}, {"2G", 2 << 30}, {"700b", 700}, {".5k", 512}, {"1t", 1 << 40}, {"0.0001b", 1},
	} {
		if got, err := Parse(tt.text); err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %d, %v; want %d", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"x", "-1", "1 m", "1q", "10m/s", "99999999p", "1e9"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %d", text, got)
		}
	}
}

// The wait grows with the bytes, and ends with the context, with its cause.
func TestStep(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	step := Step(ctx, "100k")
	started := time.Now()
	if err := step(30 << 10); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took < 190*time.Millisecond {
		t.Errorf("30 KiB at 100 KiB/s, of which 10 are free, in %v", took)
	}
	cancel(why)
	if err := step(30 << 10); !errors.Is(err, why) {
		t.Errorf("after the end: %v", err)
	}
	for _, rate := range []string{"", "0", "what"} {
		if err := Step(ctx, rate)(1 << 40); err != nil {
			t.Errorf("%q: %v", rate, err)
		}
	}
}
