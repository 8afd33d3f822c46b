//go:build integration

package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestTheTargetPrunesByItsOwnRules: what they do not keep is deleted there and here not, and is not sent again.
func TestTheTargetPrunesByItsOwnRules(t *testing.T) {
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 4)
	out := testbin.Must(t, "copy", dest, target, "--keep-last=2").Stdout
	if !strings.Contains(out, "2 backups not copied") || len(testdest.Backups(t, target)) != 2 {
		t.Errorf("the first time:\n%s", out)
	}
	backups(t, src, dest, 1)
	out = testbin.Must(t, "copy", dest, target, "--keep-last=2").Stdout
	if strings.Count(out, "deleted in the target") != 1 || strings.Count(out, "copied 2") != 1 || !strings.Contains(out, "incremental on") {
		t.Errorf("the second time:\n%s", out)
	}
	if here, there := len(testdest.Backups(t, dest)), len(testdest.Backups(t, target)); here != 5 || there != 2 {
		t.Errorf("%d backups here, %d there; want 5 and 2", here, there)
	}
	for _, b := range testdest.Backups(t, target) {
		testdest.WantSame(t, filepath.Join(dest, b.Name), filepath.Join(target, b.Name))
	}
	if r := testbin.Run(t, "check", target); r.Exit != 0 {
		t.Errorf("check of the target: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// TestTheKeyDecidesWhatIsKept: rules go to another host with the command. Where a key is bound to a command, those of
// that command hold; others are refused, and nothing is deleted.
func TestTheKeyDecidesWhatIsKept(t *testing.T) {
	src, dest := source(t), testdest.New(t, "1G")
	backups(t, src, dest, 3)
	disk := loopfs.New(t, "1G")
	sshd := func(name, command string) (shell, target string) {
		dir := filepath.Join(disk, name)
		testdest.Must(t, os.Mkdir(dir, 0o700))
		target = testdest.On(t, dir)
		shell = filepath.Join(t.TempDir(), "sshd")
		testdest.Must(t, os.WriteFile(shell, fmt.Appendf(nil, "#!/bin/sh\nshift\n%s\n", strings.ReplaceAll(command, "DEST", target)), 0o755))
		return shell, target
	}
	program := testbin.Path(t)

	shell, target := sshd("free", `exec sh -c "$*"`)
	testbin.Must(t, "copy", dest, "vault:"+target, "-e", shell, "--program", program)
	testbin.Must(t, "copy", dest, "vault:"+target, "-e", shell, "--program", program, "--keep-last=1", "-n")
	if n := len(testdest.Backups(t, target)); n != 3 {
		t.Errorf("a dry run left %d of 3", n)
	}
	out := testbin.Must(t, "copy", dest, "vault:"+target, "-e", shell, "--program", program, "--keep-last=1").Stdout
	if strings.Count(out, "deleted in the target") != 2 || len(testdest.Backups(t, target)) != 1 {
		t.Errorf("rules of the command line:\n%s", out)
	}

	shell, target = sshd("bound", "exec "+program+" receive --stdio DEST --keep-last=2")
	out = testbin.Must(t, "copy", dest, "vault:/", "-e", shell).Stdout
	if !strings.Contains(out, "1 backup not copied") || len(testdest.Backups(t, target)) != 2 {
		t.Errorf("rules of the key:\n%s", out)
	}
	wantExit(t, testbin.Run(t, "copy", dest, "vault:/", "-e", shell, "--keep-last=1"), 2, "uses its own rules")
	if n := len(testdest.Backups(t, target)); n != 2 {
		t.Errorf("%d backups after a refusal, want 2", n)
	}

	shell, target = sshd("none", "exec "+program+" receive --stdio DEST")
	testbin.Must(t, "copy", dest, "vault:/", "-e", shell)
	wantExit(t, testbin.Run(t, "copy", dest, "vault:/", "-e", shell, "--keep-last=1"), 2, "uses its own rules")
	if n := len(testdest.Backups(t, target)); n != 3 {
		t.Errorf("a key without rules: %d backups, want 3", n)
	}
}

// TestReceiveKeeps: an archive comes in, and what the rules do not keep goes.
func TestReceiveKeeps(t *testing.T) {
	src, dest, target := source(t), testdest.New(t, "1G"), testdest.New(t, "1G")
	backups(t, src, dest, 2)
	for _, ref := range []string{"latest~1", "latest"} {
		if r := pipe(t, "rsbtbackup send "+dest+" "+ref+" | rsbtbackup receive "+target+" --keep-last=1"); r.Exit != 0 {
			t.Fatalf("exit %d\n%s", r.Exit, r.Stderr)
		}
	}
	if all := testdest.Backups(t, target); len(all) != 1 || all[0].Name != testdest.Backups(t, dest)[1].Name {
		t.Errorf("left: %+v", all)
	}
}
