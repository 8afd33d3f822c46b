package doctor

import (
	"errors"
	"slices"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// A job is started by its own timer, that of its table, of all, or of a group. The time is shown only if the config
// does not have it.
func TestWhatStartsAJob(t *testing.T) {
	j := config.Job{Name: "web-a", Table: "web", Groups: []string{"night"}}
	for _, unit := range []string{"rsbtbackup-job-web-a", "rsbtbackup-job-web", "rsbtbackup-all", "rsbtbackup-group-night", ""} {
		starts := func(asked string) (string, error) {
			if asked == unit {
				return "02:30", nil
			}
			return "", nil
		}
		got, err := Started(j, starts)
		if want := map[bool]string{true: "02:30"}[unit != ""]; got != want || err != nil {
			t.Errorf("%s: %q, %v", unit, got, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Started(j, func(string) (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	nothing := func(string) (string, error) { return "", nil }
	for _, tt := range []struct {
		on, config string
		want       []string
	}{
		{"", "", []string{"rsbtbackup", "schedule", "web", "--on=daily"}},
		{"03:00", "/c.toml", []string{"rsbtbackup", "schedule", "web", "--config=/c.toml"}},
	} {
		j.Schedule.On = tt.on
		if got := schedule(j, Options{Config: tt.config, Starts: nothing}); !slices.Equal(got[0].Command, tt.want) {
			t.Errorf("%q", got[0].Command)
		}
	}
}
