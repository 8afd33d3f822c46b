package backup

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// TestJudge is the table of rsync's ends. Only 0 and 24 publish a complete
// backup, only 23 an incomplete one.
func TestJudge(t *testing.T) {
	gone := fail.Kindf(facts.ErrSource, "gone")
	listed := rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}
	exit := func(code int) error { return &rsyncexec.ExitError{Code: code} }
	for _, c := range []struct {
		name   string
		end    transfer.End
		status facts.Status
		kind   error
		drop   bool
	}{
		{"all well", transfer.End{Result: listed}, facts.Complete, nil, false},
		{"all well, but the disk was unmounted", transfer.End{Result: listed, Gone: gone}, "", facts.ErrSource, false},
		{"files vanished", transfer.End{Result: listed, Err: exit(24)}, facts.Complete, nil, false},
		{"the whole source vanished", transfer.End{Result: listed, Err: exit(24), Gone: gone}, "", facts.ErrSource, false},
		{"unreadable files", transfer.End{Result: listed, Err: exit(23)}, facts.Incomplete, nil, false},
		{"unreadable files, refused", transfer.End{Result: listed, Err: exit(23), Refuse23: true}, "", exit(23), false},
		{"23 because the disk is full", transfer.End{Result: listed, Err: exit(23), NoSpace: true}, "", facts.ErrNoSpace, false},
		{"23 because there is no source", transfer.End{Result: rsyncexec.Result{HaveStats: true}, Err: exit(23)}, "", facts.ErrSource, true},
		{"23 without statistics", transfer.End{Err: exit(23)}, "", facts.ErrSource, false},
		{"disk full", transfer.End{Err: exit(11), NoSpace: true}, "", facts.ErrNoSpace, false},
		{"full, and rsync says 0", transfer.End{Result: listed, NoSpace: true}, "", facts.ErrNoSpace, false},
		{"too many deletions", transfer.End{Result: listed, Err: exit(25)}, "", errMaxDelete, true},
		{"too many deletions, and files vanished", transfer.End{Result: listed, Err: exit(24), Stopped: true}, "", errMaxDelete, true},
		{"too many deletions, and unreadable files", transfer.End{Result: listed, Err: exit(23), Stopped: true}, "", errMaxDelete, true},
		{"devices left out", transfer.End{Result: listed, Skipped: []string{"x"}}, facts.Incomplete, nil, false},
		{"devices left out, and files vanished", transfer.End{Result: listed, Err: exit(24), Skipped: []string{"x"}}, facts.Incomplete, nil, false},
		{"unknown option", transfer.End{Err: exit(1)}, "", facts.ErrUsage, true},
		{"ssh fails", transfer.End{Err: exit(255), Remote: true}, "", facts.ErrSource, true},
		{"ssh fails, but an earlier run came further", transfer.End{Err: exit(255), Remote: true, Resumed: true}, "", facts.ErrSource, false},
		{"stream broken, remote", transfer.End{Err: exit(12), Remote: true, Connected: true}, "", facts.ErrSource, false},
		{"stream broken, local", transfer.End{Err: exit(12), Connected: true}, "", exit(12), false},
		{"rsync fails before it begins", transfer.End{Err: exit(13)}, "", exit(13), true},
		{"interrupted", transfer.End{Err: context.Canceled}, "", context.Canceled, false},
		{"no rsync", transfer.End{Err: rsyncexec.ErrNotFound}, "", rsyncexec.ErrNotFound, true},
		{"no rsync, but an earlier run had one", transfer.End{Err: rsyncexec.ErrNotFound, Resumed: true}, "", rsyncexec.ErrNotFound, false},
		{"files vanished, and some of rsync still runs", transfer.End{Result: listed, Err: errors.Join(rsyncexec.ErrStillRunning, exit(24))}, "", rsyncexec.ErrStillRunning, false},
		{"some of rsync still runs", transfer.End{Err: rsyncexec.ErrStillRunning}, "", rsyncexec.ErrStillRunning, false},
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
			end := transfer.End{Result: rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}, Err: &rsyncexec.ExitError{Code: code}, Remote: remote}
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
			v := judge(transfer.End{Result: result, Err: &rsyncexec.ExitError{Code: 23}, Based: based})
			if got := strings.Contains(v.notice, "hard links"); got != (want && based) {
				t.Errorf("%s, based %v: %s", line, based, v.notice)
			}
		}
	}
}
