package rsbtbackup

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
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
	} {
		if got := deletesTooMuch(tt.b); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.b, got, tt.want)
		}
	}
}
