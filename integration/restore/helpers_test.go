//go:build integration

package restore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
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
	return place{mount: mount, dest: testdest.On(t, mount)}
}

// backup makes a backup and returns its path.
func (p place) backup(t testing.TB, src string, args ...string) string {
	t.Helper()
	return testdest.Backup(t, src, p.dest, args...)
}

// restore runs the command on the newest backup; it must succeed.
func (p place) restore(t testing.TB, args ...string) testbin.Result {
	t.Helper()
	return testbin.Must(t, append([]string{"restore", p.dest, "latest"}, args...)...)
}

// refuse runs the command on the newest backup; it must end with that code and one line that says want.
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

// listing lists everything below dir, with inode numbers, all times and the checksums of contents.
func listing(t testing.TB, dir string) string {
	t.Helper()
	return testdest.Tool(t, "find", dir, "-printf", "%i %y %m %U:%G %n %s %T@ %C@ %P -> %l\n") +
		testdest.Tool(t, "sh", "-c", `find "$1" -type f -print0 | sort -z | xargs -0r sha256sum`, "sh", dir)
}

func goSource(t testing.TB) string {
	t.Helper()
	return filepath.Join(strings.TrimSpace(testdest.Tool(t, "go", "env", "GOROOT")), "src")
}

// oddities is a small tree with one of everything.
func oddities(t testing.TB, dir string) {
	t.Helper()
	testdest.Write(t, dir+"/plain", "plain\n")
	testdest.Write(t, dir+"/etc/ssh/sshd_config", "Port 22\n")
	testdest.Write(t, dir+"/etc/hosts", "127.0.0.1 localhost\n")
	testdest.Must(t, os.Chmod(dir+"/etc", 0o751))
	testdest.Must(t, os.Chown(dir+"/etc/ssh", 3, 4))
	testdest.Must(t, os.Link(dir+"/plain", dir+"/etc/linked"))
	testdest.Must(t, os.Symlink("plain", dir+"/symlink"))
	testdest.Must(t, os.Lchown(dir+"/symlink", 1234, 5678))
	testdest.Must(t, os.Link(dir+"/symlink", dir+"/symlink 2"))
	testdest.Must(t, os.Symlink("/etc/passwd", dir+"/outside"))
	testdest.Must(t, os.Symlink("etc", dir+"/inside"))
	testdest.Must(t, unix.Mkfifo(dir+"/fifo", 0o640))
	testdest.Must(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o600, 0))
	testdest.Must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	testdest.Write(t, dir+"/setuid", "x")
	testdest.Must(t, os.Chown(dir+"/setuid", 1000, 1000))
	testdest.Must(t, unix.Chmod(dir+"/setuid", 0o6755))
	testdest.Write(t, dir+"/none", "no access")
	testdest.Must(t, os.Chmod(dir+"/none", 0))
	testdest.Write(t, dir+"/names/new\nline \x1b[31m \xff -n", "odd name")
	testdest.Write(t, dir+"/names/-n", "dash")
	testdest.Write(t, dir+"/acl/file", "x")
	testdest.Tool(t, "setfacl", "-m", "u:1000:r,d:u:1000:rwx", dir+"/acl")
	testdest.Tool(t, "setfacl", "-m", "u:1000:r", dir+"/acl/file")
	testdest.Must(t, unix.Setxattr(dir+"/plain", "user.note", []byte("kept\x00"), 0))
	testdest.Must(t, unix.Lsetxattr(dir+"/symlink", "trusted.note", []byte("on a link"), 0))
	testdest.Must(t, unix.Setxattr(dir+"/etc", "trusted.dir", []byte("on a directory"), 0))
	testdest.Write(t, dir+"/empty", "")
	testdest.Must(t, os.Mkdir(dir+"/empty dir", 0o1777))
	sparse, err := os.Create(dir + "/sparse")
	testdest.Must(t, err)
	testdest.Must(t, sparse.Truncate(64<<20))
	_, err = sparse.WriteAt([]byte("in the middle"), 32<<20)
	testdest.Must(t, errors.Join(err, sparse.Close()))
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	testdest.Must(t, os.WriteFile(dir+"/big", big, 0o640))
	for _, name := range []string{"names", "acl", "etc/ssh", "etc", "empty dir"} {
		testdest.Tool(t, "touch", "-h", "-d", "2001-02-03 04:05:06.123456789", dir+"/"+name)
	}
	testdest.Tool(t, "touch", "-h", "-d", "1999-09-09 09:09:09.999999999", dir+"/symlink", dir+"/null", dir+"/big")
}

func sorted(lines string) string {
	all := strings.Split(strings.TrimSpace(lines), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}
