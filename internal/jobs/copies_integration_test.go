//go:build integration

package jobs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

// TestCopies: a job fills its copies, each with a verdict and rules of its own. One that fails leaves the others, and
// the verdict on the backup, as they are; how old each is can be told.
func TestCopies(t *testing.T) {
	n := newNight(t)
	second := loopfs.New(t, "1G")
	if _, err := rsbtbackup.Init(t.Context(), second, rsbtbackup.InitOptions{}); err != nil {
		t.Fatal(err)
	}
	j := n.job("a")
	j.Copies = []config.Copy{
		{Name: "away", Target: filepath.Join(t.TempDir(), "none"), Removable: true},
		{Name: "bad", Target: filepath.Join(n.src, "source")},
		{Name: "good", Target: second, Options: rsbtbackup.CopyOptions{Keep: retention.Policy{Last: 1}}},
		{Name: "vault", Target: "vault:/x", Options: rsbtbackup.CopyOptions{SSH: []string{n.write("ssh", "#!/bin/sh\necho no route to host >&2\nexit 255\n", 0o755)}}},
	}
	for i := range 2 {
		n.write("source/f", string(rune('a'+i)), 0o644)
		r := n.run(t.Context(), Options{}, j)[0]
		for _, w := range []struct {
			step   Step
			status Status
		}{{Backup, OK}, {"copy.away", Skipped}, {"copy.bad", Failed}, {"copy.good", OK}, {"copy.vault", Failed}} {
			if v, ok := r.Find(w.step); !ok || v.Status != w.status {
				t.Errorf("run %d: %s is %+v, want %s", i, w.step, v, w.status)
			}
		}
		if v, _ := r.Find("copy.vault"); !errors.Is(v.Err, rsbtbackup.ErrTarget) {
			t.Errorf("run %d: the host that is away: %v", i, v.Err)
		}
	}
	if l, err := rsbtbackup.List(t.Context(), second); err != nil || len(l.Backups) != 1 || n.backups(j) != 2 {
		t.Errorf("%d backups here; in the copy %+v, %v", n.backups(j), l, err)
	}
	s := Stand(t.Context(), []config.Job{j}, n.state, time.Now())[0]
	if s.Health != Failing || len(s.Copies) != 4 {
		t.Fatalf("%+v", s)
	}
	away, bad, good, vault := s.Copies[0], s.Copies[1], s.Copies[2], s.Copies[3]
	if !away.Absent || away.Late || bad.Error == "" || !bad.Late || !good.Newest.Equal(s.LastSuccess) || good.Late || !vault.Newest.IsZero() || !vault.Late {
		t.Errorf("away %+v\nbad %+v\ngood %+v\nvault %+v", away, bad, good, vault)
	}
	// Fresh, and the good copy has all: only the others are tried.
	r := n.run(t.Context(), Options{IfOlderThan: time.Hour}, j)[0]
	if v, ok := r.Find("copy.good"); ok {
		t.Errorf("a copy that has all: %+v", v)
	}
	if _, ok := r.Find("copy.bad"); !ok {
		t.Errorf("a copy that failed is not tried again: %+v", r.Verdicts)
	}
	if err := os.RemoveAll(filepath.Join(n.state, "a.json")); err != nil {
		t.Fatal(err)
	}
}
