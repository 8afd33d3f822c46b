package rsbtbackup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// TestJudge is the table of rsync's ends. Only 0 and 24 publish a complete
// backup, only 23 an incomplete one.
func TestJudge(t *testing.T) {
	gone := failf(ErrSource, "gone")
	listed := rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}
	exit := func(code int) error { return &rsyncexec.ExitError{Code: code} }
	for _, c := range []struct {
		name   string
		end    transferEnd
		status Status
		kind   error
		drop   bool
	}{
		{"all well", transferEnd{result: listed}, Complete, nil, false},
		{"all well, but the disk was unmounted", transferEnd{result: listed, gone: gone}, "", ErrSource, false},
		{"files vanished", transferEnd{result: listed, err: exit(24)}, Complete, nil, false},
		{"the whole source vanished", transferEnd{result: listed, err: exit(24), gone: gone}, "", ErrSource, false},
		{"unreadable files", transferEnd{result: listed, err: exit(23)}, Incomplete, nil, false},
		{"unreadable files, refused", transferEnd{result: listed, err: exit(23), refuse23: true}, "", exit(23), false},
		{"23 because the disk is full", transferEnd{result: listed, err: exit(23), noSpace: true}, "", ErrNoSpace, false},
		{"23 because there is no source", transferEnd{result: rsyncexec.Result{HaveStats: true}, err: exit(23)}, "", ErrSource, true},
		{"23 without statistics", transferEnd{err: exit(23)}, "", ErrSource, false},
		{"disk full", transferEnd{err: exit(11), noSpace: true}, "", ErrNoSpace, false},
		{"full, and rsync says 0", transferEnd{result: listed, noSpace: true}, "", ErrNoSpace, false},
		{"too many deletions", transferEnd{result: listed, err: exit(25)}, "", errMaxDelete, true},
		{"too many deletions, and files vanished", transferEnd{result: listed, err: exit(24), stopped: true}, "", errMaxDelete, true},
		{"too many deletions, and unreadable files", transferEnd{result: listed, err: exit(23), stopped: true}, "", errMaxDelete, true},
		{"devices left out", transferEnd{result: listed, skipped: []string{"x"}}, Incomplete, nil, false},
		{"devices left out, and files vanished", transferEnd{result: listed, err: exit(24), skipped: []string{"x"}}, Incomplete, nil, false},
		{"unknown option", transferEnd{err: exit(1)}, "", ErrUsage, true},
		{"ssh fails", transferEnd{err: exit(255), remote: true}, "", ErrSource, true},
		{"ssh fails, but an earlier run came further", transferEnd{err: exit(255), remote: true, resumed: true}, "", ErrSource, false},
		{"stream broken, remote", transferEnd{err: exit(12), remote: true, connected: true}, "", ErrSource, false},
		{"stream broken, local", transferEnd{err: exit(12), connected: true}, "", exit(12), false},
		{"rsync fails before it begins", transferEnd{err: exit(13)}, "", exit(13), true},
		{"interrupted", transferEnd{err: context.Canceled}, "", context.Canceled, false},
		{"no rsync", transferEnd{err: rsyncexec.ErrNotFound}, "", rsyncexec.ErrNotFound, true},
		{"no rsync, but an earlier run had one", transferEnd{err: rsyncexec.ErrNotFound, resumed: true}, "", rsyncexec.ErrNotFound, false},
		{"files vanished, and some of rsync still runs", transferEnd{result: listed, err: errors.Join(rsyncexec.ErrStillRunning, exit(24))}, "", rsyncexec.ErrStillRunning, false},
		{"some of rsync still runs", transferEnd{err: rsyncexec.ErrStillRunning}, "", rsyncexec.ErrStillRunning, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(c.end)
			if v.status != c.status || v.drop != c.drop || (v.err == nil) != (c.kind == nil) {
				t.Fatalf("verdict %+v", v)
			}
			var want, got *rsyncexec.ExitError
			if errors.As(c.kind, &want) {
				if !errors.As(v.err, &got) || got.Code != want.Code {
					t.Errorf("error %v, want exit %d", v.err, want.Code)
				}
			} else if c.kind != nil && !errors.Is(v.err, c.kind) {
				t.Errorf("error %v, want %v", v.err, c.kind)
			}
		})
	}
}

func TestJudgePublishesOnNoOtherExitCode(t *testing.T) {
	for code := 1; code < 256; code++ {
		for _, remote := range []bool{false, true} {
			end := transferEnd{result: rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}, err: &rsyncexec.ExitError{Code: code}, remote: remote}
			if v := judge(end); (v.status != "") != (code == 23 || code == 24) {
				t.Errorf("exit %d, remote %v: %+v", code, remote, v)
			}
		}
	}
}

func TestNoticeOfUnreadDirectories(t *testing.T) {
	for line, want := range map[string]bool{
		`rsync: [sender] opendir "/src/closed" failed: Permission denied (13)`: true,
		`rsync: opendir "/closed" (in m) failed: Input/output error (5)`:       true,
		`rsync: [sender] send_files failed to open "/src/opendir "/x": ...`:    false,
	} {
		for _, based := range []bool{true, false} {
			result := rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}, Complaints: []string{"x", line}}
			v := judge(transferEnd{result: result, err: &rsyncexec.ExitError{Code: 23}, based: based})
			if got := strings.Contains(v.notice, "hard links"); got != (want && based) {
				t.Errorf("%s, based %v: %s", line, based, v.notice)
			}
		}
	}
}

func TestNoSpaceMessage(t *testing.T) {
	for line, want := range map[string]bool{
		`rsync: [receiver] write failed on "/proc/self/fd/3/f": No space left on device (28)`:                             true,
		`rsync: [generator] mkstemp "/x/.f.ab" failed: Disk quota exceeded (122)`:                                         true,
		`rsync: [sender] send_files failed to open "/s/No space left on device (28) notes": Permission denied (13)`:       false,
		`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/f","user.big") failed: No space left on device (28)`: false,
		`rsync: [sender] send_files failed to open "/s/a": Permission denied (13)`:                                        false,
	} {
		if got := noSpace(line); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

func TestGuards(t *testing.T) {
	disk, root := &SourceIdentity{FSType: 1, FSID: "a"}, &SourceIdentity{FSType: 1, FSID: "b"}
	last := &Snapshot{Name: "2026-11-22-09:00", Record: &Record{Source: "/src", SourceFS: disk}}
	inside := func(views ...destView) source {
		return source{shown: "/src", identity: disk, overlap: destInside, views: views}
	}
	here, there := destView{rel: "mnt/b*k", sameFS: true}, destView{rel: "top/bk"}
	for _, c := range []struct {
		name          string
		in            guardInput
		src           source
		stops, forced bool // without and with force
	}{
		{"nothing unusual", guardInput{newest: last}, source{shown: "/src", identity: disk}, false, false},
		{"emptied", guardInput{newest: last}, source{shown: "/src", identity: disk, empty: true}, true, false},
		{"always was empty", guardInput{newest: last, baseEmpty: true}, source{shown: "/src", identity: disk, empty: true}, false, false},
		{"empty, first backup", guardInput{}, source{shown: "/src", identity: disk, empty: true}, false, false},
		{"on another filesystem: the deletions are counted", guardInput{newest: last}, source{shown: "/src", identity: root}, false, false},
		{"another path on another filesystem", guardInput{newest: last}, source{shown: "/other", identity: root}, false, false},
		{"source is destination", guardInput{}, source{shown: "/src", identity: disk, overlap: same}, true, true},
		{"source in destination", guardInput{}, source{shown: "/src", identity: disk, overlap: srcInside}, true, true},
		{"destination in source", guardInput{}, inside(here), true, false},
		{"the same, one filesystem, but it is that one", guardInput{oneFS: true}, inside(here), true, false},
		{"the same, and the destination is on another", guardInput{oneFS: true}, inside(there), false, false},
		{"named by a rule", guardInput{leftOut: []string{"x", "mnt/b*k"}}, inside(here), false, false},
		{"a directory above it named", guardInput{leftOut: []string{"mnt"}}, inside(here), false, false},
		{"one beside it named", guardInput{leftOut: []string{"mn", "mnt/b", "mnt/b*k/x"}}, inside(here), true, false},
		{"one of two paths named", guardInput{leftOut: []string{"mnt"}}, inside(here, there), true, false},
		{"one named, the other on another filesystem", guardInput{oneFS: true, leftOut: []string{"mnt"}}, inside(here, there), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for force, stops := range map[bool]bool{false: c.stops, true: c.forced} {
				in := c.in
				in.src, in.force = &c.src, force
				err := checkGuards(in)
				if (err != nil) != stops || stops && !errors.Is(err, ErrGuard) {
					t.Errorf("force %v: %v", force, err)
				}
			}
		})
	}
}

func TestDestInsideError(t *testing.T) {
	src := &source{shown: "/src", overlap: destInside, views: []destView{{rel: "mnt/b*k", sameFS: true}, {rel: "top/bk"}}}
	for _, c := range []struct {
		in   guardInput
		want DestInsideError
	}{
		{guardInput{}, DestInsideError{Paths: []string{"mnt/b*k", "top/bk"}, Exclude: []string{`/mnt/b\*k`, "/top/bk"}}},
		{guardInput{oneFS: true}, DestInsideError{Paths: []string{"mnt/b*k"}, Exclude: []string{`/mnt/b\*k`}}},
		{guardInput{leftOut: []string{"mnt"}}, DestInsideError{Paths: []string{"top/bk"}, Exclude: []string{"/top/bk"}, OtherFilesystem: true}},
	} {
		c.in.src, c.want.Source = src, "/src"
		var got *DestInsideError
		if !errors.As(checkGuards(c.in), &got) {
			t.Fatal("no such error")
		}
		if diff := cmp.Diff(c.want, *got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// What is proposed must be taken.
		c.in.leftOut = append(c.in.leftOut, rsyncexec.LeftOut(nil, got.Exclude, nil)...)
		if err := checkGuards(c.in); err != nil {
			t.Errorf("with %q: %v", got.Exclude, err)
		}
	}
}

func TestHoldsOnly(t *testing.T) {
	dir := t.TempDir()
	mkdir := func(path string) {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("mnt/bk/2026-11-22-09:00")
	mkdir("top/sub/bk")
	for _, c := range []struct {
		paths []string
		want  bool
	}{
		{[]string{"mnt/bk", "top/sub/bk"}, true},
		{[]string{"mnt/bk", "top/sub/other", "top/sub/bk"}, true},
		{[]string{"mnt", "top"}, true},
		{[]string{"mnt/bk", "top/sub/bk/x"}, true},
		{[]string{"mnt/bk"}, false},
		{[]string{"mnt/bk", "top/other"}, false},
		{[]string{"mnt/bk/x", "top"}, false},
	} {
		if got, err := holdsOnly(dir, c.paths); got != c.want || err != nil {
			t.Errorf("%q: %v, %v", c.paths, got, err)
		}
	}
}

func TestExpendable(t *testing.T) {
	complete := func(id uint64) Snapshot { return Snapshot{ID: id, Status: Complete} }
	incomplete := func(id uint64) Snapshot { return Snapshot{ID: id, Status: Incomplete} }
	pinned := func(id uint64) Snapshot {
		return Snapshot{ID: id, Status: Complete, Record: &Record{Pin: &PinInfo{}}}
	}
	for _, c := range []struct {
		name    string
		left    []Snapshot
		keepMin int
		want    int
	}{
		{"the oldest goes", []Snapshot{complete(1), complete(2)}, 1, 0},
		{"the last complete one stays", []Snapshot{complete(1)}, 1, -1},
		{"also when an incomplete one is newer, which stays too", []Snapshot{complete(1), incomplete(2)}, 1, -1},
		{"the newest stays when none is complete", []Snapshot{incomplete(1), incomplete(2)}, 1, 0},
		{"keep-min stays", []Snapshot{complete(1), complete(2), complete(3)}, 3, -1},
		{"a pin stays, and counts", []Snapshot{pinned(1), complete(2), complete(3)}, 2, 1},
		{"nothing but pins", []Snapshot{pinned(1), pinned(2)}, 1, -1},
		{"an unreadable record stays", []Snapshot{{ID: 1, Status: Incomplete, RecordError: "x"}, complete(2)}, 1, -1},
		{"nothing", nil, 1, -1},
	} {
		if got := expendable(c.left, c.keepMin); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
