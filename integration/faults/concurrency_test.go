//go:build integration

package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestTenBackupsAtOnce starts ten backups of one DEST: one runs, the others say who does. list and init answer
// meanwhile.
func TestTenBackupsAtOnce(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	src.change(t)
	flag := filepath.Join(t.TempDir(), "started")
	gate := filepath.Join(t.TempDir(), "gate")
	env := fakeRsync(t, `: > '`+flag+`'; while [ ! -e '`+gate+`' ]; do sleep 0.05; done; exec "$REAL" "$@"`)
	var runs []*process
	for range 10 {
		runs = append(runs, start(t, env, program(t), "backup", src.dir, d.path))
	}
	testdest.WaitFor(t, "nine to end", func() bool { return testdest.Exists(flag) && countRunning(runs) == 1 })
	wantExit(t, run(t, "list", d.path), 0) // waits for no lock: that is held until the gate opens
	d.held(t, src)
	testdest.Must(t, os.WriteFile(gate, nil, 0o600))
	won := 0
	for _, p := range runs {
		r := p.wait(t)
		if r.exit == 0 {
			won++
			continue
		}
		wantExit(t, r, 11)
		wantOneError(t, r)
		if !strings.Contains(r.stderr, "pid ") {
			t.Errorf("does not name the holder: %v", r)
		}
	}
	if won != 1 {
		t.Errorf("%d of 10 ran, want 1", won)
	}
	d.check(t, src)
}

func countRunning(runs []*process) int {
	n := 0
	for _, p := range runs {
		if p.running() {
			n++
		}
	}
	return n
}

// TestTenBackupsWait has them wait for each other.
func TestTenBackupsWait(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 0)
	src.change(t)
	var runs []*process
	for range 10 {
		runs = append(runs, start(t, nil, program(t), "backup", "--lock-wait=10m", src.dir, d.path))
	}
	for _, p := range runs {
		wantExit(t, p.wait(t), 0)
	}
	d.held(t, src)
	if len(d.backups) != 10 {
		t.Errorf("%d backups, want 10", len(d.backups))
	}
	d.check(t, src)
}

// TestFiveInitsAtOnce starts five inits of one directory.
func TestFiveInitsAtOnce(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	mount := loopfs.New(t, "512M")
	for range 5 {
		d := &dest{path: newDir(t, mount), backups: map[string]string{}}
		var runs []*process
		for range 5 {
			runs = append(runs, start(t, nil, program(t), "init", d.path))
		}
		for _, p := range runs {
			wantExit(t, p.wait(t), 0)
		}
		d.check(t, src)
	}
}
