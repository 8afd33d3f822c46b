//go:build integration

package restore

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// What cannot share its blocks is left to rsync, in every mode.
func TestRsyncDoesWhatReflinkCannot(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	for _, mode := range []string{"always", "if-changed", "if-newer", "never"} {
		target := p.mount + "/nocow " + mode
		testdest.Must(t, os.Mkdir(target, 0o700))
		testdest.Tool(t, "chattr", "+C", target)
		r := p.restore(t, "--json", "-t", target, "--overwrite", mode)
		var report rsbtbackup.RestoreReport
		testdest.Must(t, json.Unmarshal([]byte(r.Stdout), &report))
		if report.Reflinked == nil || report.Reflinked.Symlinks == 0 || report.Stats == nil {
			t.Errorf("%s: reflinked %+v, rsync %+v, want something of both", mode, report.Reflinked, report.Stats)
		}
		testdest.WantSame(t, backup, target)
	}
}

// Before Linux 5.19 files share no blocks across two mounts of one filesystem. strace lets the kernel say so at the
// question that is asked first, which the first thread asks; the copy is rsync's from then on, and so are the counts.
func TestMountsThatShareNoBlocksAreLeftToRsync(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src, other := p.mount+"/src", t.TempDir()
	oddities(t, src)
	backup := p.backup(t, src)
	testdest.Must(t, unix.Mount(p.mount, other, "", unix.MS_BIND, ""))
	t.Cleanup(func() { testdest.Must(t, unix.Unmount(other, unix.MNT_DETACH)) })
	log := t.TempDir() + "/strace"
	restore := func(target string, inject ...string) (*rsbtbackup.RestoreReport, string) {
		args := append([]string{"-qq", "-o", log, "-e", "trace=ioctl"}, inject...)
		out := testdest.Tool(t, "strace", append(args, testbin.Path(t), "restore", p.dest, "latest", "--json", "-t", target)...)
		var report rsbtbackup.RestoreReport
		testdest.Must(t, json.Unmarshal([]byte(out), &report))
		testdest.WantSame(t, backup, target)
		return &report, testdest.Read(t, log)
	}
	report, calls := restore(other + "/shared")
	if report.Reflinked == nil || report.Stats != nil {
		t.Fatalf("not reflinked: %+v", report)
	}
	before, _, found := strings.Cut(calls, "FICLONE")
	if !found {
		t.Fatalf("nothing is asked by the first thread: %s", calls)
	}
	nth := strings.Count(before, "ioctl(")
	report, calls = restore(other+"/copied", "-e", "inject=ioctl:error=EXDEV:when="+strconv.Itoa(nth))
	if !strings.Contains(calls, "FICLONE") || !strings.Contains(calls, "EXDEV (Invalid cross-device link) (INJECTED)") {
		t.Fatalf("the fault was not met: %s", calls)
	}
	if report.Reflinked != nil || report.Stats == nil || report.Stats.Created+1 != report.Stats.Files {
		t.Errorf("reflinked %+v, rsync %+v", report.Reflinked, report.Stats)
	}
}

// An ordinary user restores files of their own.
func TestAnOrdinaryUserRestores(t *testing.T) {
	t.Parallel()
	const uid = 1000
	p := place{mount: newPlace(t).mount}
	p.dest = p.mount + "/theirs"
	testdest.Must(t, os.Chmod(p.mount, 0o755))
	src := p.mount + "/src"
	for _, dir := range []string{p.dest, src, p.mount + "/home"} {
		testdest.Must(t, os.Mkdir(dir, 0o700))
	}
	testdest.Write(t, src+"/a/file", "x")
	testdest.Must(t, os.Symlink("file", src+"/a/link"))
	testdest.Tool(t, "chown", "-R", "1000:1000", p.dest, src, p.mount+"/home")
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
	testdest.WantSame(t, src, p.mount+"/home/new")
	as("restore", p.dest, "latest", "--as-subvolume", p.mount+"/home/clone")
	testdest.WantSame(t, src, p.mount+"/home/clone")
}
