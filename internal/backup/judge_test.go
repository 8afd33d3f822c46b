package backup

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// errAny is an error of no kind.
var errAny = errors.New("any")

// TestJudge is the table of rsync's ends. Only 0 and 24 publish a complete backup, only 23 an incomplete one.
func TestJudge(t *testing.T) {
	gone := fail.Kindf(facts.ErrSource, "gone")
	listed := rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}
	bare := rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 1}}
	exit := func(code int) error { return &rsyncexec.ExitError{Code: code} }
	local, remote := &source.Source{Shown: "/src"}, &source.Source{Shown: "host:/src", Spec: rsyncexec.Source{Kind: rsyncexec.Shell}}
	for _, c := range []struct {
		name   string
		end    transfer.End
		in     circumstances
		status facts.Status
		kind   error
		drop   bool
	}{
		{"all well", transfer.End{Result: listed}, circumstances{src: local}, facts.Complete, nil, false},
		{"all well, but the disk was unmounted", transfer.End{Result: listed}, circumstances{src: local, gone: gone}, "", facts.ErrSource, false},
		{"files vanished", transfer.End{Result: listed, Err: exit(24)}, circumstances{src: local}, facts.Complete, nil, false},
		{"the whole source vanished", transfer.End{Result: listed, Err: exit(24)}, circumstances{src: local, gone: gone}, "", facts.ErrSource, false},
		{"unreadable files", transfer.End{Result: listed, Err: exit(23)}, circumstances{src: local}, facts.Incomplete, nil, false},
		{"unreadable files, refused", transfer.End{Result: listed, Err: exit(23)}, circumstances{src: local, refuse23: true}, "", exit(23), false},
		{"23 because the disk is full", transfer.End{Result: listed, Err: exit(23), NoSpace: true}, circumstances{src: local}, "", facts.ErrNoSpace, false},
		{"23 because there is no source", transfer.End{Result: rsyncexec.Result{HaveStats: true}, Err: exit(23)}, circumstances{src: local}, "", facts.ErrSource, true},
		{"23 without statistics", transfer.End{Err: exit(23)}, circumstances{src: local}, "", facts.ErrSource, false},
		{"disk full", transfer.End{Err: exit(11), NoSpace: true}, circumstances{src: local}, "", facts.ErrNoSpace, false},
		{"full, and rsync says 0", transfer.End{Result: listed, NoSpace: true}, circumstances{src: local}, "", facts.ErrNoSpace, false},
		{"too many deletions", transfer.End{Result: listed, Err: exit(25)}, circumstances{src: local}, "", facts.ErrGuard, true},
		{"too many deletions, and files vanished", transfer.End{Result: listed, Err: exit(24), Stopped: true}, circumstances{src: local}, "", facts.ErrGuard, true},
		{"too many deletions, and unreadable files", transfer.End{Result: listed, Err: exit(23), Stopped: true}, circumstances{src: local}, "", facts.ErrGuard, true},
		{"devices left out", transfer.End{Result: listed, Skipped: []string{"x"}}, circumstances{src: local}, facts.Incomplete, nil, false},
		{"devices left out, and files vanished", transfer.End{Result: listed, Err: exit(24), Skipped: []string{"x"}}, circumstances{src: local}, facts.Incomplete, nil, false},
		{"unknown option", transfer.End{Err: exit(1)}, circumstances{src: local}, "", facts.ErrUsage, true},
		{"ssh fails", transfer.End{Err: exit(255)}, circumstances{src: remote}, "", facts.ErrSource, true},
		{"ssh fails, but an earlier run came further", transfer.End{Err: exit(255)}, circumstances{resumed: true, src: remote}, "", facts.ErrSource, false},
		{"stream broken, remote", transfer.End{Err: exit(12), Connected: true}, circumstances{src: remote}, "", facts.ErrSource, false},
		{"stream broken, local", transfer.End{Err: exit(12), Connected: true}, circumstances{src: local}, "", exit(12), false},
		{"rsync fails before it begins", transfer.End{Err: exit(13)}, circumstances{src: local}, "", exit(13), true},
		{"interrupted", transfer.End{Err: context.Canceled}, circumstances{src: local}, "", context.Canceled, false},
		{"no rsync", transfer.End{Err: rsyncexec.ErrNotFound}, circumstances{src: local}, "", rsyncexec.ErrNotFound, true},
		{"no rsync, but an earlier run had one", transfer.End{Err: rsyncexec.ErrNotFound}, circumstances{src: local, resumed: true}, "", rsyncexec.ErrNotFound, false},
		{"files vanished, and some of rsync still runs", transfer.End{Result: listed, Err: errors.Join(rsyncexec.ErrStillRunning, exit(24))}, circumstances{src: local}, "", rsyncexec.ErrStillRunning, false},
		{"rules included DEST again", transfer.End{Result: listed}, circumstances{src: local, tookDest: fail.Kindf(facts.ErrGuard, "DEST")}, "", facts.ErrGuard, true},
		{"nothing but the top directory", transfer.End{Result: bare}, circumstances{src: remote, newest: &facts.Snapshot{}}, "", facts.ErrGuard, true},
		{"nothing but the top directory, as the last time", transfer.End{Result: bare}, circumstances{src: remote, newest: &facts.Snapshot{}, baseEmpty: true}, facts.Complete, nil, false},
		{"nothing but the top directory, by force", transfer.End{Result: bare}, circumstances{src: remote, newest: &facts.Snapshot{}, force: true}, facts.Complete, nil, false},
		{"devices left out, refused", transfer.End{Result: listed, Skipped: []string{"x"}}, circumstances{src: local, refuse23: true}, "", errAny, false},
		{"some of rsync still runs", transfer.End{Err: rsyncexec.ErrStillRunning}, circumstances{src: local}, "", rsyncexec.ErrStillRunning, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(c.end, c.in)
			if v.status != c.status || v.drop != c.drop || (v.err == nil) != (c.kind == nil) {
				t.Fatalf("verdict %+v", v)
			}
			var want, got *rsyncexec.ExitError
			if errors.As(c.kind, &want) {
				if !errors.As(v.err, &got) || got.Code != want.Code {
					t.Errorf("error %v, want exit %d", v.err, want.Code)
				}
			} else if c.kind != nil && c.kind != errAny && !errors.Is(v.err, c.kind) {
				t.Errorf("error %v, want %v", v.err, c.kind)
			}
		})
	}
}

func TestJudgePublishesOnNoOtherExitCode(t *testing.T) {
	for code := 1; code < 256; code++ {
		for _, src := range []*source.Source{{}, {Spec: rsyncexec.Source{Kind: rsyncexec.Shell}}} {
			end := transfer.End{Result: rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}, Err: &rsyncexec.ExitError{Code: code}}
			if v := judge(end, circumstances{src: src}); (v.status != "") != (code == 23 || code == 24) {
				t.Errorf("exit %d, local %v: %+v", code, src.Local(), v)
			}
		}
	}
}

func TestNoticeOfWhatWasNotRead(t *testing.T) {
	closed := transfer.Unread{Paths: []string{"/src/closed"}}
	for _, c := range []struct {
		name  string
		end   transfer.End
		based bool
		says  string
	}{
		{"a directory", transfer.End{Unread: closed}, true, "(/src/closed) this backup has what the last one has, but of directories no hard links"},
		{"a directory, in a first backup", transfer.End{Unread: closed}, false, "(exit 23)"},
		{"nothing was deleted", transfer.End{Unread: closed, Kept: true}, true, "files that are gone from the source are still in this backup"},
		{"a file in part", transfer.End{Unread: closed, Torn: []string{"closed"}}, true, "(exit 23); closed could be read only in part"},
		{"another file in part", transfer.End{Unread: closed, Torn: []string{"losed"}}, true, "(/src/closed) this backup has what the last one has"},
		{"an attribute that could not be written", transfer.End{}, true, "(exit 23)"},
	} {
		c.end.Result = rsyncexec.Result{HaveStats: true, Stats: rsyncexec.Stats{Files: 3}}
		c.end.Err = &rsyncexec.ExitError{Code: 23}
		in := circumstances{src: &source.Source{}}
		if c.based {
			in.base = &facts.Snapshot{}
		}
		if v := judge(c.end, in); !strings.Contains(v.notice, c.says) || c.says == "(exit 23)" && !strings.HasSuffix(v.notice, c.says) {
			t.Errorf("%s: %s", c.name, v.notice)
		}
	}
}
