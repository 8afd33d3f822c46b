package check

import (
	"errors"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

// The error has to do where it is all that is shown.
func TestCheckFailureSaysWhy(t *testing.T) {
	r := &Report{Dest: "/b"}
	r.add("backup", facts.CheckFail, "it is %s old", "30h")
	r.add("mount", facts.CheckOK, "writable")
	if err := r.failure(); !errors.Is(err, facts.ErrCheck) || err.Error() != "1 of 2 checks of /b failed: backup: it is 30h old" {
		t.Errorf("failure: %v", err)
	}
	r.add("space", facts.CheckFail, "1 %% free")
	if got, want := r.failure().Error(), "2 of 3 checks of /b failed: backup: it is 30h old; space: 1 % free"; got != want {
		t.Errorf("failure: %s, want %s", got, want)
	}
	if err := (&Report{}).failure(); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}
