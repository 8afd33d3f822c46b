package jobs

import (
	"context"
	"testing"
)

// Only a job that says so is left out, and a link counts only where something comes over it.
func TestNotNow(t *testing.T) {
	on := func(battery, metered bool) runner {
		return runner{Options: Options{OnBattery: func() bool { return battery }, Metered: func(context.Context) bool { return metered }}}
	}
	here, there := job("here"), job("there")
	there.Backup.Source = "web1:/srv"
	for _, tt := range []struct {
		what                 string
		r                    runner
		noBattery, noMetered bool
		remote               bool
		want                 string
	}{
		{"nothing is said", on(true, true), false, false, true, ""},
		{"on battery", on(true, false), true, true, false, "the machine runs on battery"},
		{"on mains", on(false, false), true, true, true, ""},
		{"on a metered link", on(false, true), true, true, true, "the connection is metered"},
		{"nothing comes over it", on(false, true), true, true, false, ""},
	} {
		j := here
		if tt.remote {
			j = there
		}
		j.NoBattery, j.NoMetered = tt.noBattery, tt.noMetered
		if got := tt.r.notNow(t.Context(), j); got != tt.want {
			t.Errorf("%s: %q", tt.what, got)
		}
	}
}
