package rsbtbackup

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/sys/unix"
)

func TestJudgeRestore(t *testing.T) {
	exit := func(code int) error { return &rsyncexec.ExitError{Code: code} }
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		end  transferEnd
		want error
	}{
		{"done", transferEnd{}, nil},
		{"something unreadable", transferEnd{err: exit(23)}, ErrIncomplete},
		{"full, said by 23", transferEnd{err: exit(23), noSpace: true}, ErrNoSpace},
		{"full, said by 11", transferEnd{err: exit(11), noSpace: true}, ErrNoSpace},
		{"option refused", transferEnd{err: exit(1)}, ErrUsage},
		{"ssh failed", transferEnd{err: exit(255), remote: true}, ErrTarget},
		{"parent missing over there", transferEnd{err: exit(11), remote: true}, ErrTarget},
		{"not started", transferEnd{err: boom}, boom},
	} {
		r := &restore{view: &view{}, target: &target{}}
		if err := r.judge(tt.end); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestRecordedSource(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		record *Record
		want   string
		err    error
	}{
		{nil, "", ErrUsage},
		{&Record{}, "", ErrUsage},
		{&Record{Source: "/etc", Host: host}, "/etc", nil},
		{&Record{Source: "/etc"}, "/etc", nil},
		{&Record{Source: "/etc", Host: "another-" + host}, "", ErrGuard},
		{&Record{Source: "web:/var/www", Host: "another-" + host}, "web:/var/www", nil},
	} {
		if got, err := recordedSource(Snapshot{Record: tt.record}); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%+v: %q, %v, want %q, %v", tt.record, got, err, tt.want, tt.err)
		}
	}
}

func TestWhatIsNotDeletedBy(t *testing.T) {
	for _, tt := range []struct {
		b    Snapshot
		want string
	}{
		{Snapshot{Name: "B", Status: Complete, Record: &Record{}}, ""},
		{Snapshot{Name: "B", Status: Complete}, ""},
		{Snapshot{Name: "B", Status: Incomplete, Record: &Record{}}, "B is incomplete"},
		{Snapshot{Name: "B", Status: Complete, Record: &Record{Rules: []string{"--exclude=a", "-m"}}}, "with --exclude=a -m"},
		{Snapshot{Name: "B", Status: Complete, Record: &Record{Rules: []string{"--exclude=a", "--exclude=/b"}}}, "with --exclude=a --exclude=/b"},
		{Snapshot{Name: "B", Status: Complete, Record: &Record{Rules: []string{"--exclude=same", "-z"}}}, ""},
		{Snapshot{Name: "B", Status: Complete, Record: &Record{Rules: []string{"--exclude=same", "--one-file-system"}}}, "--one-file-system"},
		{Snapshot{Name: "B", Status: Incomplete, Record: &Record{Rules: []string{"--exclude=same"}}}, "B is incomplete"},
	} {
		got := ""
		if err := lacks(tt.b, []string{"other", "same"}); err != nil {
			got = err.Error()
		}
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.b, got, tt.want)
		}
	}
	both := Snapshot{Name: "B", Record: &Record{Rules: []string{"--exclude=a", "--exclude=/b"}}}
	if got := lacks(both, []string{"a"}).Exclude; !slices.Equal(got, []string{"/b"}) {
		t.Errorf("to be excluded too: %q", got)
	}
}

func TestOnTheWay(t *testing.T) {
	paths := []string{"a/b", "c"}
	for dir, want := range map[string]bool{"a": true, "a/b": true, "a/b/x": true, "a/bc": false, "a/x": false, "c": true, "cd": false, "b": false} {
		if got := onTheWay(dir, paths); got != want {
			t.Errorf("%s: %v", dir, got)
		}
		if !onTheWay(dir, nil) {
			t.Errorf("%s is not below everything", dir)
		}
	}
}

// A restore into a directory of somebody else changes nothing they have put
// under a name that it was about to make.
func TestCheckNewRefusesWhatStoodThereBefore(t *testing.T) {
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

// The path of a target is resolved before this, and once.
func TestOpenTargetDirFollowsNoSymlink(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/real/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if f, err := openTargetDir(dir + "/real/sub"); err != nil || f.Close() != nil {
		t.Error(err)
	}
	if _, err := openTargetDir(dir + "/link/sub"); !errors.Is(err, ErrTarget) || !errors.Is(err, unix.ELOOP) {
		t.Errorf("through a symlink: %v", err)
	}
}

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
