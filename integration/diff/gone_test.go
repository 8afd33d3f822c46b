//go:build integration

package diff

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// meanwhile is a context that does something when it is asked for the n-th time whether it is done, which is in the
// middle of the work.
type meanwhile struct {
	context.Context
	asked *atomic.Int32
	n     int32
	do    func()
}

func (m meanwhile) Err() error {
	if m.asked.Add(1) == m.n {
		m.do()
	}
	return m.Context.Err()
}

// A backup that is deleted while it is compared looks as if its files were gone. Only the deletion is reported.
func TestDiffWithABackupDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, method := range []rsbtbackup.DiffMethod{rsbtbackup.DiffSend, rsbtbackup.DiffWalk} {
		for _, which := range []int{0, 1} {
			l := newLine(t)
			for n := int32(1); ; n++ {
				testdest.Write(t, l.path("dir", "a"), "content a")
				testdest.Write(t, l.path("dir", "b"), "content b")
				backups := []string{l.snap(t)}
				testdest.Write(t, l.path("dir", "a"), "content A")
				testdest.Write(t, l.path("dir", "b"), "content B")
				backups = append(backups, l.snap(t))
				var asked atomic.Int32
				ctx := meanwhile{t.Context(), &asked, n, func() { l.drop(t, backups[which]) }}
				d, err := rsbtbackup.Diff(ctx, l.dest, backups[0], backups[1], rsbtbackup.DiffOptions{Method: method})
				if asked.Load() < n {
					break // it was done before
				}
				if !errors.Is(err, rsbtbackup.ErrBackupGone) || d != nil {
					t.Errorf("%s, %s deleted at %d: %+v, %v", method, backups[which], n, d, err)
				}
			}
		}
	}
}

// A backup that is deleted meanwhile is left out.
func TestHistoryWithABackupDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for which := range 3 {
		for n := int32(1); ; n++ {
			l := newLine(t) // with these backups only
			var backups []string
			for _, content := range []string{"one", "two", "two"} {
				testdest.Write(t, l.path("file"), content)
				testdest.Must(t, os.Chmod(l.path("file"), 0o600))
				testdest.Must(t, os.Chmod(l.path("file"), 0o644))
				backups = append(backups, l.snap(t))
			}
			var asked atomic.Int32
			ctx := meanwhile{t.Context(), &asked, n, func() { l.drop(t, backups[which]) }}
			h, err := rsbtbackup.History(ctx, l.dest, "file")
			if asked.Load() < n {
				break
			}
			testdest.Must(t, err)
			for _, v := range h.Versions {
				if v.Vanished != "" || v.First == backups[which] || v.Last == backups[which] || v.Take == backups[which] || v.Unread {
					t.Errorf("%s deleted at %d: %+v", backups[which], n, v)
				}
			}
			if h.Backups != 2 {
				t.Errorf("%s deleted at %d: %d backups", backups[which], n, h.Backups)
			}
		}
	}
}
