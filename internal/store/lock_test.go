package store

import (
	"strings"
	"testing"
)

// What a killed run has started keeps the lock, and its pid is no one to look for.
func TestHolderIsDescribed(t *testing.T) {
	h := Holder{PID: 7, Verb: "backup"}
	if got := h.describe(true); !strings.HasPrefix(got, "another run (backup, pid 7, since ") {
		t.Errorf("alive: %s", got)
	}
	if got := h.describe(false); !strings.HasPrefix(got, "another run, maybe the rsync of one that was killed (backup, since ") || !strings.HasSuffix(got, "; its pid 7 is gone)") {
		t.Errorf("gone: %s", got)
	}
}
