//go:build integration

package prune

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// page returns the commands of docs/RETIRING.md that have word in them, for dest.
func page(t *testing.T, dest, word string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/RETIRING.md")
	testdest.Must(t, err)
	for block := range strings.SplitSeq(string(text), "\n\n") {
		if strings.HasPrefix(block, "    ") && strings.Contains(block, word) {
			return strings.ReplaceAll(strings.ReplaceAll(block, "/backup/etc", dest), "rsbtbackup ", testbin.Path(t)+" ")
		}
	}
	t.Fatalf("docs/RETIRING.md has no command with %q", word)
	return ""
}

func shell(t *testing.T, commands string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", commands).CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v: %s", commands, err, out)
	}
}

// TestRetiringADest does what docs/RETIRING.md says, also where rm -rf came first.
func TestRetiringADest(t *testing.T) {
	t.Parallel()
	for _, rmFirst := range []bool{false, true} {
		dest, src := testdest.New(t, "512M"), t.TempDir()
		for range 3 {
			testdest.Must(t, os.WriteFile(filepath.Join(src, "file"), []byte("x"), 0o644))
			testbin.Must(t, "backup", src, dest)
		}
		if rmFirst {
			if exec.Command("rm", "-rf", dest).Run() == nil {
				t.Fatal("rm -rf removes read-only backups")
			}
			for _, verb := range [][]string{{"list", dest}, {"delete", dest, "latest"}, {"backup", src, dest}} {
				r := testbin.Run(t, verb...)
				testdest.WantExit(t, r, 10)
				if !strings.Contains(r.Stderr, "holds 3 backups: run init to use it again") || !strings.Contains(r.Stderr, "init "+dest) {
					t.Errorf("%q does not say what is left, and what to do:\n%s", verb, r.Stderr)
				}
			}
			shell(t, page(t, dest, " init "))
			if n := len(backupsIn(t, dest)); n != 3 {
				t.Errorf("%d backups after init", n)
			}
			testbin.Must(t, "backup", src, dest)
			if _, err := os.Stat(filepath.Join(dest, "cur", "file")); err != nil {
				t.Error(err)
			}
		}
		shell(t, page(t, dest, "--as-subvolume"))
		shell(t, page(t, dest, "rm -rf"))
		if _, err := os.Lstat(dest); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", dest, err)
		}
		if _, err := os.Stat(dest + "-last/file"); err != nil {
			t.Error(err)
		}
	}
}
