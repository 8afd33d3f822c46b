package restore

import (
	"errors"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

func TestJudgeRestore(t *testing.T) {
	exit := func(code int) error { return &rsyncexec.ExitError{Code: code} }
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		end  transfer.End
		want error
	}{
		{"done", transfer.End{}, nil},
		{"something unreadable", transfer.End{Err: exit(23)}, facts.ErrIncomplete},
		{"full, said by 23", transfer.End{Err: exit(23), NoSpace: true}, facts.ErrNoSpace},
		{"full, said by 11", transfer.End{Err: exit(11), NoSpace: true}, facts.ErrNoSpace},
		{"option refused", transfer.End{Err: exit(1)}, facts.ErrUsage},
		{"ssh failed", transfer.End{Err: exit(255)}, facts.ErrTarget},
		{"parent missing over there", transfer.End{Err: exit(11)}, facts.ErrTarget},
		{"not started", transfer.End{Err: boom}, boom},
	} {
		to := &target{}
		if errors.Is(tt.want, facts.ErrTarget) {
			to.remote = &rsyncexec.Source{}
		}
		got := copied{cleared: cleared{aimed: aimed{opened{view: &store.View{}}, to}}, end: tt.end}
		if err := got.judge(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
