package reflink

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A restore into a directory of somebody else changes nothing they have put under a name that it was about to make.
func TestCheckNewRefusesAnOlderEntry(t *testing.T) {
	name := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := checkNew(f, unix.S_IFIFO); err != nil {
		t.Error(err)
	}
	if err := checkNew(f, unix.S_IFBLK); !errors.Is(err, fs.ErrExist) {
		t.Errorf("of another kind: %v", err)
	}
	if err := os.Link(name, name+"2"); err != nil {
		t.Fatal(err)
	}
	if err := checkNew(f, unix.S_IFIFO); !errors.Is(err, fs.ErrExist) {
		t.Errorf("with another name: %v", err)
	}
}
