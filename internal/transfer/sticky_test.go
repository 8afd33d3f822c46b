package transfer

import (
	"testing"
)

func TestOnTheWay(t *testing.T) {
	paths := []string{"a/b", "c"}
	for dir, want := range map[string]bool{"a": true, "a/b": true, "a/b/x": true, "a/bc": false, "a/x": false, "c": true, "cd": false, "b": false} {
		if got := OnTheWay(dir, paths); got != want {
			t.Errorf("%s: %v", dir, got)
		}
		if !OnTheWay(dir, nil) {
			t.Errorf("%s is not below everything", dir)
		}
	}
}
