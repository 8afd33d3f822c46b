package rsbtbackup

import (
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/retention"
)

// Two names that the kernel gives one id are decided about apart: what is said
// of one must not delete the other.
func TestDecideGoesByName(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	backups := []Snapshot{
		{Name: "old", ID: 300, Time: at.AddDate(-6, 0, 0), Status: Complete},
		{Name: "new", ID: 300, Time: at, Status: Complete},
	}
	kept := map[string]bool{}
	for _, d := range decide(backups, retention.Policy{Last: 1}, at) {
		kept[d.Name] = d.Keep
	}
	if len(kept) != 2 || kept["old"] == kept["new"] {
		t.Errorf("kept: %v", kept)
	}
	if kept := keepAll(backups); kept[0].Name == kept[1].Name {
		t.Errorf("%q twice", kept[0].Name)
	}
}
