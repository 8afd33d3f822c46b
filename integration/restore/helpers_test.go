//go:build integration

package restore

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(testbin.Main(m)) }

// A place is a btrfs with an initialised DEST and a directory beside it.
type place struct {
	mount, dest string
}

func newPlace(t testing.TB) place {
	t.Helper()
	return placeOn(t, loopfs.New(t, "2G"))
}

func placeOn(t testing.TB, mount string) place {
	t.Helper()
	p := placeIn(t, filepath.Join(mount, "dest"))
	p.mount = mount
	return p
}

// placeIn initialises dest.
func placeIn(t testing.TB, dest string) place {
	t.Helper()
	p := place{dest: dest}
	check(t, os.MkdirAll(p.dest, 0o700))
	testbin.Must(t, "init", p.dest)
	return p
}

// backup makes a backup and returns its path.
func (p place) backup(t testing.TB, src string, args ...string) string {
	t.Helper()
	testbin.Must(t, append([]string{"backup", "-q", src, p.dest}, args...)...)
	name, err := os.Readlink(filepath.Join(p.dest, "cur"))
	check(t, err)
	return filepath.Join(p.dest, name)
}

// restore runs the command on the newest backup; it must succeed.
func (p place) restore(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	return testbin.Must(t, append([]string{"restore", p.dest, "latest"}, args...)...)
}

// refuse runs the command on the newest backup; it must end with that code
// and one line that says want.
func (p place) refuse(t testing.TB, exit int, want string, args ...string) {
	t.Helper()
	r := testbin.Run(t, append([]string{"restore", p.dest, "latest"}, args...)...)
	wantOneLine(t, r, exit, want)
}

func wantOneLine(t testing.TB, r testbin.Result, exit int, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(r.Stderr) {
		if strings.HasPrefix(line, "rsbtbackup: ") {
			lines = append(lines, line)
		} else if !strings.HasPrefix(line, "hint: ") && !strings.Contains(line, " WRN ") {
			t.Errorf("stderr has the line %q", line)
		}
	}
	if r.Exit != exit || len(lines) != 1 || !strings.Contains(lines[0], want) {
		t.Errorf("exit %d, want %d and one line with %q:\n%s", r.Exit, exit, want, r.Stderr)
	}
}

// wantSame lets rsync compare everything: it prints what it would change.
func wantSame(t testing.TB, want, got string) {
	t.Helper()
	diff := tool(t, "rsync", "-naHAXc", "--numeric-ids", "--modify-window=-1", "--delete", "-i", "--", want+"/", got+"/")
	if len(diff) > 4000 {
		diff = diff[:4000] + "..."
	}
	if diff != "" {
		t.Errorf("%s differs from %s:\n%s", got, want, diff)
	}
}

// digest describes all below dir, contents and every time included.
func digest(t testing.TB, dir string) string {
	t.Helper()
	return tool(t, "find", dir, "-printf", "%i %y %m %U:%G %n %s %T@ %C@ %P -> %l\n") +
		tool(t, "sh", "-c", `find "$1" -type f -print0 | sort -z | xargs -0r sha256sum`, "sh", dir)
}

func goSource(t testing.TB) string {
	t.Helper()
	return filepath.Join(strings.TrimSpace(tool(t, "go", "env", "GOROOT")), "src")
}

// oddities is a small tree with one of everything.
func oddities(t testing.TB, dir string) {
	t.Helper()
	write(t, dir+"/plain", "plain\n")
	write(t, dir+"/etc/ssh/sshd_config", "Port 22\n")
	write(t, dir+"/etc/hosts", "127.0.0.1 localhost\n")
	check(t, os.Chmod(dir+"/etc", 0o751))
	check(t, os.Chown(dir+"/etc/ssh", 3, 4))
	check(t, os.Link(dir+"/plain", dir+"/etc/linked"))
	check(t, os.Symlink("plain", dir+"/symlink"))
	check(t, os.Lchown(dir+"/symlink", 1234, 5678))
	check(t, os.Link(dir+"/symlink", dir+"/symlink 2"))
	check(t, os.Symlink("/etc/passwd", dir+"/outside"))
	check(t, os.Symlink("etc", dir+"/inside"))
	check(t, unix.Mkfifo(dir+"/fifo", 0o640))
	check(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o600, 0))
	check(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	write(t, dir+"/setuid", "x")
	check(t, os.Chown(dir+"/setuid", 1000, 1000))
	check(t, unix.Chmod(dir+"/setuid", 0o6755))
	write(t, dir+"/none", "no access")
	check(t, os.Chmod(dir+"/none", 0))
	write(t, dir+"/names/new\nline \x1b[31m \xff -n", "odd name")
	write(t, dir+"/names/-n", "dash")
	write(t, dir+"/acl/file", "x")
	tool(t, "setfacl", "-m", "u:1000:r,d:u:1000:rwx", dir+"/acl")
	tool(t, "setfacl", "-m", "u:1000:r", dir+"/acl/file")
	check(t, unix.Setxattr(dir+"/plain", "user.note", []byte("kept\x00"), 0))
	check(t, unix.Lsetxattr(dir+"/symlink", "trusted.note", []byte("on a link"), 0))
	check(t, unix.Setxattr(dir+"/etc", "trusted.dir", []byte("on a directory"), 0))
	write(t, dir+"/empty", "")
	check(t, os.Mkdir(dir+"/empty dir", 0o1777))
	sparse, err := os.Create(dir + "/sparse")
	check(t, err)
	check(t, sparse.Truncate(64<<20))
	_, err = sparse.WriteAt([]byte("in the middle"), 32<<20)
	check(t, errors.Join(err, sparse.Close()))
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	check(t, os.WriteFile(dir+"/big", big, 0o640))
	for _, name := range []string{"names", "acl", "etc/ssh", "etc", "empty dir"} {
		tool(t, "touch", "-h", "-d", "2001-02-03 04:05:06.123456789", dir+"/"+name)
	}
	tool(t, "touch", "-h", "-d", "1999-09-09 09:09:09.999999999", dir+"/symlink", dir+"/null", dir+"/big")
}

// tool runs another program, which must succeed, and returns its output.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func write(t testing.TB, name, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(name), 0o755))
	check(t, os.WriteFile(name, []byte(content), 0o644))
}

func read(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	check(t, err)
	return string(content)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sorted(lines string) string {
	all := strings.Split(strings.TrimSpace(lines), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}
