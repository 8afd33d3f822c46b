package transfer

import (
	"strings"
	"testing"
)

func TestFailedFilesAreCountedOnce(t *testing.T) {
	for _, tt := range []struct {
		lines string
		want  int
	}{
		{"", 0},
		{"rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) [sender=3.5.0]", 0},
		{"IO error encountered -- skipping file deletion", 0},
		{`rsync: [sender] read errors mapping "/proc/self/fd/4/dir/one": Input/output error (5)
WARNING: dir/one failed verification -- update discarded (will try again).
rsync: [sender] read errors mapping "/proc/self/fd/4/dir/one": Input/output error (5)
ERROR: dir/one failed verification -- update discarded.`, 1},
		{`rsync: [sender] send_files failed to open "/proc/self/fd/4/a": Permission denied (13)
rsync: [generator] recv_generator: mkdir "/proc/self/fd/3/b \"c\"" failed: Permission denied (13)
*** Skipping any contents from this failed directory ***
rsync: [sender] readlink_stat("/proc/self/fd/4/d") failed: Input/output error (5)`, 3},
	} {
		failed := newFailedFiles()
		for line := range strings.Lines(tt.lines) {
			failed.add(strings.TrimSuffix(line, "\n"))
		}
		if got := len(failed.names); got != tt.want {
			t.Errorf("%d, want %d in\n%s", got, tt.want, tt.lines)
		}
	}
}
