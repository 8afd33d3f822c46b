//go:build integration

package prune

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/retention"
)

var keep30d = &rsbtbackup.PruneOptions{Policy: retention.Policy{Within: retention.Span{Days: 30}}}

// backupAt makes a backup at that time, and prunes as it says.
func backupAt(t testing.TB, src, dest string, now time.Time, prune *rsbtbackup.PruneOptions) (*rsbtbackup.Report, error) {
	t.Helper()
	testdest.Must(t, os.WriteFile(filepath.Join(src, "file"), []byte(now.String()), 0o644))
	return rsbtbackup.Backup(context.Background(), rsbtbackup.BackupOptions{Source: src, Dest: dest, Now: now, Prune: prune})
}

func backupsIn(t testing.TB, dest string) []string {
	t.Helper()
	l, err := rsbtbackup.List(context.Background(), dest)
	testdest.Must(t, err)
	var all []string
	for _, b := range l.Backups {
		all = append(all, b.Name)
	}
	return all
}

// TestAClockAheadDeletesNothing has one run, or several, at a time that is years away. When the clock is right again,
// all goes on as before.
func TestAClockAheadDeletesNothing(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "512M"), t.TempDir()
	now := time.Now().Truncate(time.Minute)
	for i := range 4 {
		_, err := backupAt(t, src, dest, now.AddDate(0, 0, i-5), keep30d)
		testdest.Must(t, err)
	}
	before := backupsIn(t, dest)
	for i := range 2 {
		r, err := backupAt(t, src, dest, now.AddDate(10, 0, i), keep30d)
		if !errors.Is(err, rsbtbackup.ErrGuard) || !errors.Is(err, rsbtbackup.ErrUnusual) || r.Name == "" {
			t.Fatalf("the backup is %q, prune says %v", r.Name, err)
		}
		before = append(before, r.Name)
	}
	rotate := rsbtbackup.PruneOptions{Policy: retention.Policy{Age: retention.Span{Days: 30}}, Now: now.AddDate(10, 0, 2)}
	if _, err := rsbtbackup.Prune(context.Background(), dest, rotate); !errors.Is(err, rsbtbackup.ErrUnusual) {
		t.Errorf("rotate: %v", err)
	}
	rotate.DryRun = true
	if r, err := rsbtbackup.Prune(context.Background(), dest, rotate); err != nil || r.Refused == "" {
		t.Errorf("the dry run does not say that it would be refused: %v", err)
	}
	if got := backupsIn(t, dest); !slices.Equal(got, before) {
		t.Fatalf("there are %q, there were %q", got, before)
	}
	r, err := backupAt(t, src, dest, now, keep30d)
	testdest.Must(t, err)
	if got := backupsIn(t, dest); !slices.Equal(got, append(before, r.Name)) {
		t.Fatalf("with the clock right there are %q, there were %q", got, before)
	}
	rotate.DryRun, rotate.Force = false, true
	_, err = rsbtbackup.Prune(context.Background(), dest, rotate)
	testdest.Must(t, err)
	if got := backupsIn(t, dest); len(got) == len(before)+1 {
		t.Error("forced, it deletes nothing")
	}
}

// TestBackupPruneStops: the backup is made anyway, and the message has a command to continue.
func TestBackupPruneStops(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "512M"), t.TempDir()
	for i := range 5 {
		_, err := backupAt(t, src, dest, time.Now().AddDate(-3, 0, i), nil)
		testdest.Must(t, err)
	}
	r := testbin.Run(t, "backup", src, dest, "--prune", "--keep-within", "30d")
	testdest.WantExit(t, r, 13)
	if n := len(backupsIn(t, dest)); n != 6 || !strings.Contains(r.Stderr, "--keep-within 30d --force") {
		t.Errorf("%d backups\n%s", n, r.Stderr)
	}
	testbin.Must(t, "prune", dest, "--keep-within", "30d", "--force")
	if n := len(backupsIn(t, dest)); n != 1 {
		t.Errorf("%d backups", n)
	}
}

// TestNearlyAllIsNotDeletedUnasked follows prunes that deleted nothing.
func TestNearlyAllIsNotDeletedUnasked(t *testing.T) {
	t.Parallel()
	dest, src := testdest.New(t, "512M"), t.TempDir()
	for i := range 8 {
		_, err := backupAt(t, src, dest, time.Now().Add(time.Duration(i-9)*time.Hour), keep30d)
		testdest.Must(t, err)
	}
	testdest.WantExit(t, testbin.Run(t, "prune", dest, "--keep-last=1"), 13)
	if n := len(backupsIn(t, dest)); n != 8 {
		t.Errorf("%d backups are left", n)
	}
	testbin.Must(t, "prune", dest, "--keep-last=1", "--force")
	if n := len(backupsIn(t, dest)); n != 1 {
		t.Errorf("%d backups are left", n)
	}
}

// TestBackupsThatCameInAnotherOrder have ids that say the newest is the oldest.
func TestBackupsThatCameInAnotherOrder(t *testing.T) {
	t.Parallel()
	for how, bring := range map[string]func(t *testing.T, from, to string){
		"received": func(t *testing.T, from, to string) {
			pipe := exec.Command("sh", "-c", `btrfs send -q "$1" | btrfs receive -q "$2"`, "sh", from, to)
			if out, err := pipe.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
		"copied": func(t *testing.T, from, to string) {
			if out, err := exec.Command("btrfs", "subvolume", "snapshot", "-r", from, to).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			dest, src := testdest.New(t, "512M"), t.TempDir()
			var all []string
			for i := range 4 {
				r, err := backupAt(t, src, dest, time.Now().AddDate(0, 0, i-5), nil)
				testdest.Must(t, err)
				all = append(all, r.Name)
			}
			newest := all[len(all)-1]
			second := filepath.Join(filepath.Dir(dest), "second")
			if how == "received" {
				second = filepath.Join(loopfs.New(t, "512M"), "second")
			}
			testdest.Must(t, os.Mkdir(second, 0o755))
			for _, name := range slices.Backward(all) {
				bring(t, filepath.Join(dest, name), second)
			}
			for _, name := range []string{".log", "cur"} {
				if out, err := exec.Command("cp", "-a", filepath.Join(dest, name), second).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			if got := backupsIn(t, second); !slices.Equal(got, all) {
				t.Errorf("list has %q, they were made as %q", got, all)
			}
			testbin.Must(t, "prune", second, "--keep-last=2")
			if got := backupsIn(t, second); !slices.Equal(got, all[2:]) {
				t.Errorf("prune left %q of %q", got, all)
			}
			if cur, err := os.Readlink(filepath.Join(second, "cur")); err != nil || cur != newest {
				t.Errorf("cur names %q, not %s: %v", cur, newest, err)
			}
			testdest.WantExit(t, testbin.Run(t, "delete", second, newest), 13)
			r, err := backupAt(t, src, second, time.Now(), nil)
			if testdest.Must(t, err); r.Base != newest {
				t.Errorf("the next backup is incremental on %s, not %s", r.Base, newest)
			}
			testbin.Must(t, "prune", second, "--keep-last=1")
			if got := backupsIn(t, second); !slices.Equal(got, []string{r.Name}) {
				t.Errorf("prune left %q", got)
			}
		})
	}
}
