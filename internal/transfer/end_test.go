package transfer

import (
	"testing"
)

func TestNoSpaceMessage(t *testing.T) {
	for line, want := range map[string]bool{
		`rsync: [receiver] write failed on "/proc/self/fd/3/f": No space left on device (28)`:                             true,
		`rsync: [generator] mkstemp "/x/.f.ab" failed: Disk quota exceeded (122)`:                                         true,
		`rsync: [sender] send_files failed to open "/s/No space left on device (28) notes": Permission denied (13)`:       false,
		`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/f","user.big") failed: No space left on device (28)`: false,
		`rsync: [sender] send_files failed to open "/s/a": Permission denied (13)`:                                        false,
	} {
		if got := saysNoSpace(line); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

func TestUnheldName(t *testing.T) {
	for line, want := range map[string]string{
		`rsync: [receiver] rsync_xal_set: fsetxattr("/t/dir","btrfs.compression") failed: Operation not supported (95)`: "btrfs.compression",
		`rsync: [receiver] rsync_xal_set: lsetxattr("/t/f","btrfs.compression") failed: Invalid argument (22)`:          "btrfs.compression",
		`rsync: rsync_xal_set: lsetxattr("/t/f","lustre.lov") failed: Operation not supported (95)`:                     "lustre.lov",
		`rsync: [receiver] rsync_xal_set: lsetxattr("/t/f","user.x") failed: Operation not supported (95)`:              "",
		`rsync: [receiver] rsync_xal_set: lsetxattr("/t/f","trusted.x") failed: Operation not permitted (1)`:            "",
		`rsync: [receiver] rsync_xal_set: lsetxattr("/t/f","btrfs.compression") failed: No space left on device (28)`:   "",
	} {
		if got, _ := unheldName(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestConnectedMessage has what rsync 3.5.0 prints with --info=flist1, of either end, with incremental recursion and
// without.
func TestConnectedMessage(t *testing.T) {
	for line, want := range map[string]bool{
		"sending incremental file list":   true,
		"receiving incremental file list": true,
		"receiving file list ... done":    true,
		"building file list ... done":     true,
		"a file list":                     false,
	} {
		if got := connectedMessage().MatchString(line); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}
