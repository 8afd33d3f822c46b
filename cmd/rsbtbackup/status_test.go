package main

import (
	"errors"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// NEXT is what is installed, not what the config wishes; a unit that starts many jobs is asked about once.
func TestNextIsWhatIsInstalled(t *testing.T) {
	asks := 0
	starts := onceEach(func(string) (string, error) { asks++; return "02:30", nil })
	for range 3 {
		if when, err := starts("rsbtbackup-all"); when != "02:30" || err != nil {
			t.Errorf("%s, %v", when, err)
		}
	}
	if asks != 1 {
		t.Errorf("asked %d times", asks)
	}
	now := time.Now()
	due := jobs.Standing{VerifyDue: now.Add(-time.Hour)}
	for _, tt := range []struct {
		s    statusObject
		want string
	}{
		{statusObject{}, "not scheduled"},
		{statusObject{Next: "02:30"}, "02:30"},
		{statusObject{Next: "02:30", Standing: due}, "02:30, verify is due"},
		{statusObject{nextError: errors.New("broken")}, "unknown"},
	} {
		if got := nextText(tt.s, now); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
	if got := oldText(time.Second); got != "less than a minute old" {
		t.Error(got)
	}
	if got := oldText(5 * time.Minute); got != "5m old" {
		t.Error(got)
	}
}
