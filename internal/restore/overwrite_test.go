package restore

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestStays(t *testing.T) {
	const file, dir, link = unix.S_IFREG, unix.S_IFDIR, unix.S_IFLNK
	at := func(kind uint32, sec, nsec int64) unix.Stat_t {
		mtime, err := unix.TimeToTimespec(time.Unix(sec, nsec))
		if err != nil {
			t.Skip("this machine has no such years: ", err)
		}
		return unix.Stat_t{Mode: kind, Nlink: 1, Mtim: mtime}
	}
	linked := at(file, 10, 5)
	linked.Nlink = 2
	for _, tt := range []struct {
		what             string
		backup, target   unix.Stat_t
		never, ifNewer   bool
		neverBy, newerBy bool // rsync's own option
	}{
		{"the same", at(file, 10, 5), at(file, 10, 5), true, false, true, false},
		{"newer by a nanosecond", at(file, 10, 5), at(file, 10, 6), true, true, true, false},
		{"newer by a second", at(file, 10, 999_999_999), at(file, 11, 0), true, true, true, false},
		{"newer by two seconds", at(file, 10, 5), at(file, 12, 0), true, true, true, true},
		{"older by a nanosecond", at(file, 10, 5), at(file, 10, 4), true, false, true, false},
		{"before 1970", at(file, -10, 5), at(file, -10, 6), true, true, true, false},
		{"beyond 2262", at(file, 1<<40, 5), at(file, 1<<40, 6), true, true, true, false},
		{"a newer hard link", linked, at(file, 60, 0), true, true, true, false},
		{"a newer symlink", at(link, 10, 5), at(link, 60, 0), true, true, true, false},
		{"another kind, newer", at(file, 10, 5), at(link, 60, 0), true, true, false, false},
		{"a file for a directory", at(dir, 10, 5), at(file, 60, 0), true, true, false, false},
		{"a directory for a file", at(file, 10, 5), at(dir, 60, 0), true, true, false, false},
		{"a directory", at(dir, 10, 5), at(dir, 60, 0), false, false, true, false},
	} {
		for mode, want := range map[facts.Overwrite]struct{ stays, seen bool }{
			facts.OverwriteNever: {tt.never, tt.neverBy}, facts.OverwriteIfNewer: {tt.ifNewer, tt.newerBy}, facts.OverwriteAlways: {}, facts.OverwriteIfChanged: {}, "": {},
		} {
			if got := stays(mode, tt.backup, tt.target); got != want.stays {
				t.Errorf("%s, %s: stays %v", tt.what, mode, got)
			}
			if got := rsyncSees(mode, tt.backup, tt.target); want.stays && got != want.seen {
				t.Errorf("%s, %s: rsync sees it: %v", tt.what, mode, got)
			}
		}
	}
}

func TestOnlyPaths(t *testing.T) {
	want := []string{"+ /a", "+ /a/b", "+ /a/b/**", `+ /x\[1]\\y`, `+ /x\[1]\\y/**`, "- *"}
	if got := onlyPaths([]string{"a/b", `x[1]\y`}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := onlyPaths(nil); got != nil {
		t.Errorf("everything is %q", got)
	}
}
