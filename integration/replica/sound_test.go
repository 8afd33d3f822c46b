//go:build integration

package replica

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestNothingBuildsOnADamagedCopy: an increment would have its damage, and so would all that come later.
func TestNothingBuildsOnADamagedCopy(t *testing.T) {
	t.Parallel()
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			src, dest := source(t), testdest.New(t, "1G")
			image := loopfs.NewImage(t, "1G", "btrfs")
			target := testdest.On(t, image.Mount)
			backups(t, src, dest, 1)
			testbin.Must(t, args(dest, target)...)
			damage(t, image, filepath.Join(target, testdest.Names(t, target)[0], "d/noise"))
			wantExit(t, testbin.Run(t, "verify", target), 1, "d/noise")
			archive := filepath.Join(t.TempDir(), "archive")
			backups(t, src, dest, 1)
			if r := pipe(t, fmt.Sprintf("rsbtbackup send %s latest --parent=latest~1 >%s", dest, archive)); r.Exit != 0 {
				t.Fatal(r.Stderr)
			}
			if out := testbin.Must(t, args(dest, target)...).Stdout; !strings.Contains(out, "copied ") || strings.Contains(out, "incremental") {
				t.Errorf("it builds on a damaged one:\n%s", out)
			}
			newest := testdest.Names(t, dest)[1]
			testbin.Must(t, "verify", target, newest)
			testdest.WantSame(t, filepath.Join(dest, newest), filepath.Join(target, newest))
			backups(t, src, dest, 1)
			if out := testbin.Must(t, args(dest, target)...).Stdout; !strings.Contains(out, "incremental on "+newest) {
				t.Errorf("the next one is not incremental:\n%s", out)
			}
			testbin.Must(t, "delete", target, newest)
			r := pipe(t, fmt.Sprintf("rsbtbackup receive %s <%s", target, archive))
			if wantExit(t, r, 0, "received "); !strings.Contains(r.Stderr, "it has that damage, too") {
				t.Errorf("an archive on a damaged backup, without a word:\n%s", r.Stderr)
			}
		})
	}
}

// TestADamagedBackupIsNotInTheWay: a backup that cannot be read is reported, with exit code 1. The others are copied.
func TestADamagedBackupIsNotInTheWay(t *testing.T) {
	t.Parallel()
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			src, image := source(t), loopfs.NewImage(t, "1G", "btrfs")
			dest, target := testdest.On(t, image.Mount), testdest.New(t, "1G")
			backups(t, src, dest, 1)
			shell(t, src, "head -c 3000000 /dev/urandom >d/noise")
			backups(t, src, dest, 2)
			names := testdest.Names(t, dest)
			damage(t, image, filepath.Join(dest, names[0], "d/noise"))
			for _, known := range []bool{false, true} {
				if known {
					wantExit(t, testbin.Run(t, "verify", dest), 1, "d/noise")
				}
				wantExit(t, testbin.Run(t, args(dest, target)...), 1, names[0])
				if got := testdest.Names(t, target); len(got) != 2 || got[0] != names[1] || got[1] != names[2] {
					t.Fatalf("damage known: %v: %v are there, of %v", known, got, names)
				}
			}
			for _, name := range names[1:] {
				testdest.WantSame(t, filepath.Join(dest, name), filepath.Join(target, name))
			}
			wantNothingLeft(t, target)
			testbin.Must(t, "delete", dest, names[0])
			testbin.Must(t, args(dest, target)...)
		})
	}
}

// TestBackupsDeletedMeanwhile are nothing that the target lacks, also where an increment was to build on them.
func TestBackupsDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for route, args := range routes(t) {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
			backups(t, src, dest, 1)
			testbin.Must(t, args(dest, target)...)
			shell(t, src, "head -c 20000000 /dev/urandom >large")
			backups(t, src, dest, 3)
			names := testdest.Names(t, dest)
			cmd := exec.Command(testbin.Path(t), append(args(dest, target), "--bwlimit=20m")...)
			var said strings.Builder
			cmd.Stdout, cmd.Stderr = &said, &said
			testdest.Must(t, cmd.Start())
			testdest.WaitFor(t, "the copy to begin", func() bool {
				_, err := os.Stat(filepath.Join(target, ".log/incoming/incoming"))
				return err == nil
			})
			testbin.Must(t, "delete", dest, names[2]) // to be sent, and to be built on
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, said.String())
			}
			wantCopies(t, dest, target)
			wantNothingLeft(t, target)
		})
	}
}
