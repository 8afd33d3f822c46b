package transfer

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func exited(code int) error { return &rsyncexec.ExitError{Code: code} }

// TestMeaningOfEnds has each question about an end, asked about each kind of end.
func TestMeaningOfEnds(t *testing.T) {
	read := rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 1}}
	complaining := func(lines ...string) rsyncexec.Result {
		return rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 1}, Complaints: lines}
	}
	const ownBug = `rsync: [generator] get_acl: sys_acl_get_file(a/b, ACL_TYPE_DEFAULT): Permission denied (13)`
	const last = "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) [sender=3.5.0]"
	questions := []struct {
		name string
		ask  func(End) bool
	}{
		{"useful", End.Useful}, {"vanished", End.Vanished}, {"partial", End.Partial}, {"links left", End.LinksLeft},
		{"unstarted", End.Unstarted}, {"false alarm", FalseAlarm},
	}
	for name, tt := range map[string]struct {
		end  End
		want string // the questions that are answered with yes
	}{
		"exit 0":                             {End{Result: read}, "useful"},
		"a source file could not be read":    {End{Result: complaining("rsync: x", last), Err: exited(23)}, "useful partial"},
		"nothing could be read":              {End{Err: exited(23)}, "partial"},
		"files vanished":                     {End{Result: read, Err: exited(24)}, "useful vanished"},
		"exit 23, and no space":              {End{Result: read, Err: exited(23), NoSpace: true}, ""},
		"exit 0, and no space":               {End{Result: read, NoSpace: true}, ""},
		"exit 24, and too many deletions":    {End{Result: read, Err: exited(24), Stopped: true}, ""},
		"exit 23, and a process still runs":  {End{Result: read, Err: errors.Join(exited(23), rsyncexec.ErrStillRunning)}, ""},
		"the stream broke":                   {End{Result: read, Err: exited(12)}, ""},
		"too many names of a file":           {End{Result: read, Err: exited(23), TooManyLinks: 1}, "useful partial|links left"},
		"too many names, and rsync gave up":  {End{Result: read, Err: exited(13), TooManyLinks: 1}, "links left"},
		"too many names, and no space":       {End{Result: read, Err: exited(13), TooManyLinks: 1, NoSpace: true}, ""},
		"rsync's own bug":                    {End{Result: complaining(ownBug, last), Err: exited(23)}, "useful partial|false alarm"},
		"rsync's own bug, and another error": {End{Result: complaining(ownBug, "rsync: x", last), Err: exited(23)}, "useful partial"},
		"rsync's own bug with exit 12":       {End{Result: complaining(ownBug), Err: exited(12)}, ""},
		"rsync is not installed":             {End{Err: fmt.Errorf("rsync: %w", rsyncexec.ErrNotFound)}, "unstarted"},
		"rsync is too old":                   {End{Err: fmt.Errorf("rsync: %w", rsyncexec.ErrTooOld)}, "unstarted"},
		"an alias":                           {End{Err: &rsyncexec.AliasError{File: "/etc/popt"}}, "unstarted"},
		"cancelled":                          {End{Err: errors.New("interrupted")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := strings.ReplaceAll(tt.want, "useful ", "useful|")
			var got []string
			for _, q := range questions {
				if q.ask(tt.end) {
					got = append(got, q.name)
				}
			}
			if g := strings.Join(got, "|"); g != want {
				t.Errorf("got %q, want %q", g, want)
			}
		})
	}
}

// TestListener gives lines to a listener and looks at the end that it returns.
func TestListener(t *testing.T) {
	limit := int64(3)
	names := strings.NewReplacer("/proc/self/fd/3", "/dest")
	for name, tt := range map[string]struct {
		stdout, stderr []string
		job            Job
		err            error
		want           End
		shown          int // lines that the user sees
	}{
		"connected":             {stdout: []string{"sending incremental file list"}, want: End{Connected: true}},
		"a version":             {stdout: []string{"(Client) Protocol versions: remote=30, negotiated=30"}, want: End{Protocol: 30}},
		"a device":              {stdout: []string{`skipping non-regular file "dev/null"`}, job: Job{Devices: true}, want: End{Skipped: []string{"dev/null"}}},
		"a device, not awaited": {stdout: []string{`skipping non-regular file "dev/null"`}},
		"output of a dry run":   {stdout: []string{"hello"}, job: Job{Aloud: true}, shown: 1},
		"a new directory":       {stdout: []string{"created directory /proc/self/fd/3"}, job: Job{Aloud: true}},
		"too many names": {
			stderr: []string{`rsync: [generator] link "/proc/self/fd/3/a" => b failed: Too many links (31)`}, err: exited(23),
			want: End{TooManyLinks: 1, Err: exited(23)},
		},
		"an attribute of another filesystem": {
			stderr: []string{
				`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/a","btrfs.compression") failed: Operation not supported (95)`,
				`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/b","btrfs.compression") failed: Operation not supported (95)`,
				"rsync error: some files/attrs were not transferred",
			},
			err: exited(23), want: End{Unheld: []string{"btrfs.compression"}},
		},
		"an attribute, and another error": {
			stderr: []string{
				`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/a","btrfs.compression") failed: Operation not supported (95)`,
				`rsync: something else`,
			},
			err: exited(23), want: End{Unheld: []string{"btrfs.compression"}, Err: exited(23)}, shown: 1,
		},
		"a false alarm": {
			stderr: []string{
				`rsync: [generator] get_acl: sys_acl_get_file(b, ACL_TYPE_DEFAULT): Permission denied (13)`,
				"rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1394) [sender=3.5.0]",
			},
			err: exited(23), want: End{Err: exited(23)},
		},
		"attributes that are too large": {
			stderr: []string{
				`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/a","user.big") failed: No space left on device (28)`,
				`rsync: [receiver] rsync_xal_set: lsetxattr("/proc/self/fd/3/b","user.big") failed: No space left on device (28)`,
			},
			err: exited(23), want: End{Oversized: []string{"user.big"}, Err: exited(23)}, shown: 2,
		},
		"no space": {
			stderr: []string{`rsync: [receiver] write failed on "/proc/self/fd/3/a": No space left on device (28)`}, err: exited(11),
			want: End{NoSpace: true, Err: exited(11)}, shown: 1,
		},
		"a directory that is not empty": {
			stderr: []string{"could not make way for new regular file: etc/old"}, err: exited(23),
			want: End{Blocked: []string{"etc/old"}, Err: exited(23)}, shown: 1,
		},
		"a limit of deletions": {
			stderr: []string{"Deletions stopped due to --max-delete limit (3 skipped)"}, err: exited(25),
			job: Job{Options: rsyncexec.Options{MaxDelete: &limit}}, want: End{Stopped: true, Err: exited(25)},
		},
		"a limit of somebody else": {
			stderr: []string{"Deletions stopped due to --max-delete limit (3 skipped)"}, err: exited(25),
			want: End{Err: exited(25)}, shown: 1,
		},
		"a module that is read-only": {stderr: []string{"@ERROR: module is read only"}, err: exited(1), want: End{ReadOnly: true, Err: exited(1)}, shown: 1},
	} {
		t.Run(name, func(t *testing.T) {
			tt.job.Names = names
			l := &listener{job: tt.job, said: messages{log: slog.New(slog.DiscardHandler), names: names}, failed: newFailedFiles()}
			shown := 0
			for stream, lines := range map[string][]string{"stdout": tt.stdout, "stderr": tt.stderr} {
				for _, line := range lines {
					if l.hear(stream, line) {
						shown++
					}
				}
			}
			got := l.end(rsyncexec.Result{}, tt.err)
			got.Unread, got.Failed = Unread{}, 0 // have tests of their own
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if shown != tt.shown {
				t.Errorf("%d lines are shown, want %d", shown, tt.shown)
			}
		})
	}
}

func TestSumOfTwoRuns(t *testing.T) {
	first := End{Connected: true, Stats: &rsyncexec.Stats{Files: 7, Created: 1, Deleted: 2, Transferred: 3, Literal: 4}}
	second := End{Stats: &rsyncexec.Stats{Files: 8, Created: 10, Deleted: 20, Transferred: 30, Literal: 40}}
	want := End{Connected: true, Stats: &rsyncexec.Stats{Files: 8, Created: 11, Deleted: 22, Transferred: 33, Literal: 44}}
	if d := cmp.Diff(want, second.After(first)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(first, End{}.After(first)); d != "" {
		t.Errorf("after a run without statistics: %s", d)
	}
}

func TestConnectionLost(t *testing.T) {
	for code, want := range map[int]bool{0: false, 1: false, 2: true, 10: true, 12: true, 23: false, 24: false, 30: true, 124: true, 255: true} {
		if got := ConnectionLost(code); got != want {
			t.Errorf("exit %d: %v, want %v", code, got, want)
		}
	}
}
