//go:build integration

package restore

import (
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// What can not share its blocks is left to rsync, in every mode.
func TestRsyncDoesWhatReflinkCanNot(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	for _, mode := range []string{"always", "if-changed", "if-newer", "never"} {
		target := p.mount + "/nocow " + mode
		check(t, os.Mkdir(target, 0o700))
		tool(t, "chattr", "+C", target)
		r := p.restore(t, "--json", "-t", target, "--overwrite", mode)
		var report rsbtbackup.RestoreReport
		check(t, json.Unmarshal([]byte(r.Stdout), &report))
		if report.Reflinked == nil || report.Reflinked.Symlinks == 0 || report.Stats == nil {
			t.Errorf("%s: reflinked %+v, rsync %+v, want something of both", mode, report.Reflinked, report.Stats)
		}
		wantSame(t, backup, target)
	}
}

// An ordinary user restores files of their own.
func TestAnOrdinaryUserRestores(t *testing.T) {
	t.Parallel()
	const uid = 1000
	p := place{mount: newPlace(t).mount}
	p.dest = p.mount + "/theirs"
	check(t, os.Chmod(p.mount, 0o755))
	src := p.mount + "/src"
	for _, dir := range []string{p.dest, src, p.mount + "/home"} {
		check(t, os.Mkdir(dir, 0o700))
	}
	write(t, src+"/a/file", "x")
	check(t, os.Symlink("file", src+"/a/link"))
	tool(t, "chown", "-R", "1000:1000", p.dest, src, p.mount+"/home")
	as := func(args ...string) {
		cmd := exec.Command(testbin.Path(t), args...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	as("init", p.dest)
	as("backup", src, p.dest)
	as("restore", p.dest, "latest", "-t", p.mount+"/home/new")
	wantSame(t, src, p.mount+"/home/new")
	as("restore", p.dest, "latest", "--as-subvolume", p.mount+"/home/clone")
	wantSame(t, src, p.mount+"/home/clone")
}
