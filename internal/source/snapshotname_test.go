package source

import (
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

func TestSnapshotName(t *testing.T) {
	of, other := btrfs.UUID{1}, btrfs.UUID{2}
	name := NewSnapshotName(of)
	if again := NewSnapshotName(of); again == name || len(name) > 60 {
		t.Errorf("%q after %q", again, name)
	}
	for text, want := range map[string]bool{
		name: true, name + "x": false, strings.ToUpper(name): false, name[:len(name)-1]: false, "x" + name: false,
		snapshotPrefix: false, snapshotPrefix + "-" + proof(of, ""): false, "": false,
	} {
		if IsSnapshotName(text, of) != want {
			t.Errorf("%q is ours: %t", text, !want)
		}
	}
	if IsSnapshotName(name, other) {
		t.Error("it is one of another subvolume too")
	}
}
