//go:build integration

package restore

import (
	"os"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// rsync opens a directory of the target that its owner has closed, and there compares only as its own options do: what
// is newer by less than two seconds would be overwritten.
func TestADirectoryThatIsClosedKeepsWhatIsInIt(t *testing.T) {
	t.Parallel()
	p := place{mount: newPlace(t).mount}
	testdest.Must(t, os.Chmod(p.mount, 0o755))
	p.dest = p.mount + "/theirs"
	src := p.mount + "/src"
	for _, name := range []string{"dir/file", "dir/linked", "open"} {
		testdest.Write(t, src+"/"+name, "backup")
	}
	testdest.Must(t, os.Link(src+"/dir/linked", src+"/dir/linked 2"))
	testdest.Tool(t, "touch", "-d", "2020-01-01 12:00:00.5", src+"/dir/file", src+"/dir/linked", src+"/open")
	testdest.Must(t, os.Mkdir(p.dest, 0o700))
	testdest.Tool(t, "chown", "-R", "65534:65534", p.dest, src)
	testdest.WantExit(t, testbin.AsNobody(t, "init", p.dest), 0)
	testdest.WantExit(t, testbin.AsNobody(t, "backup", src, p.dest), 0)
	for _, mode := range []string{"if-newer", "never"} {
		target := p.mount + "/" + mode
		for _, name := range []string{"dir/file", "dir/linked", "dir/linked 2"} {
			testdest.Write(t, target+"/"+name, "target")
			testdest.Tool(t, "touch", "-d", "2020-01-01 12:00:01.4", target+"/"+name)
		}
		testdest.Tool(t, "chown", "-R", "65534:65534", target)
		testdest.Must(t, os.Chmod(target+"/dir", 0))
		for _, paths := range [][]string{nil, {"dir/file", "open"}} {
			r := testbin.AsNobody(t, append([]string{"restore", p.dest, "latest", "-t", target, "--overwrite=" + mode}, paths...)...)
			testdest.WantExit(t, r, 3)
			if !strings.Contains(r.Stderr, target+"/dir cannot be entered, so what is in it stays: Permission denied (13)") || !strings.Contains(r.Stderr, "\nhint: root has more rights: sudo rsbtbackup restore ") {
				t.Errorf("%s: %s", mode, r.Stderr)
			}
		}
		if got := testdest.Tool(t, "cat", target+"/dir/file", target+"/dir/linked", target+"/dir/linked 2", target+"/open"); got != "targettargettargetbackup" {
			t.Errorf("%s: %q", mode, got)
		}
		testdest.Must(t, os.Chmod(target+"/dir", 0o755))
		testdest.WantExit(t, testbin.AsNobody(t, "restore", p.dest, "latest", "-t", target, "--overwrite="+mode), 0)
	}
}

// What the caller may not read hides nothing else from a list.
func TestLsListsWhatCanBeRead(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	for _, name := range []string{"a/file", "b/file", "c/deep/file", "d/file"} {
		testdest.Write(t, src+"/"+name, "x")
	}
	testdest.Must(t, os.Chmod(src+"/b", 0o711))
	testdest.Must(t, os.Chmod(src+"/c/deep", 0o700))
	p.backup(t, src)
	for _, dir := range []string{p.mount, p.dest, p.dest + "/.log"} {
		testdest.Must(t, os.Chmod(dir, 0o755))
	}
	r := testbin.AsNobody(t, "ls", p.dest, "latest", "-R")
	testdest.WantExit(t, r, 1)
	for _, path := range []string{" a/file\n", " b\n", " c/deep\n", " d/file\n"} {
		if !strings.Contains(r.Stdout, path) {
			t.Errorf("no%s in\n%s", path, r.Stdout)
		}
	}
	if !strings.Contains(r.Stderr, "2 entries could not be read, the first: ") || !strings.Contains(r.Stderr, "/b: permission denied\nhint: sudo ") {
		t.Error(r.Stderr)
	}
	testdest.WantExit(t, testbin.AsNobody(t, "ls", p.dest, "latest", "a"), 0)
}
