//go:build integration

package restore

import (
	"os"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
	"golang.org/x/sys/unix"
)

// An ordinary user keeps with --fake-super what only root can restore. A restore gives files what the source had, as
// far as the user may.
func TestABackupMadeWithFakeSuperComesBackAsItsSource(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	p := place{mount: newPlace(t).mount}
	testdest.Must(t, os.Chmod(p.mount, 0o755))
	p.dest = p.mount + "/theirs"
	src, home := p.mount+"/src", p.mount+"/home"
	testdest.Write(t, src+"/file", "x")
	testdest.Write(t, src+"/dir/setuid", "y")
	testdest.Must(t, os.Chown(src+"/file", 5, 6))
	testdest.Must(t, os.Chown(src+"/dir", 7, 8))
	testdest.Must(t, unix.Mknod(src+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	testdest.Must(t, unix.Chmod(src+"/dir/setuid", 0o4755))
	testdest.Must(t, unix.Setxattr(src+"/file", "user.note", []byte("kept"), 0))
	testdest.Tool(t, "setfacl", "-m", "u:5:r", src+"/file")
	testdest.Tool(t, "setfacl", "-d", "-m", "u:5:r", src+"/dir")
	for _, dir := range []string{p.dest, home} {
		testdest.Must(t, os.Mkdir(dir, 0o700))
		testdest.Must(t, os.Chown(dir, 65534, 65534))
	}
	testdest.WantExit(t, testbin.AsNobody(t, "init", p.dest), 0)
	testdest.WantExit(t, testbin.AsNobody(t, "backup", src, p.dest, "--", "--fake-super"), 0)
	testbin.Must(t, "verify", p.dest, "latest", "--against", src)
	target := p.mount + "/as root"
	p.restore(t, "-t", target)
	testdest.WantSame(t, src, target)
	testdest.Write(t, target+"/file", "edited")
	p.restore(t, "-t", target, "--overwrite=always", "--delete")
	testdest.WantSame(t, src, target)
	p.restore(t, "-t", target+"/one", "dir/setuid")
	testdest.WantSame(t, src+"/dir", target+"/one/dir")
	p.restore(t, "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/pushed", "--overwrite=always")
	testdest.WantSame(t, src, p.mount+"/pushed")
	p.refuse(t, 2, "made with --fake-super", "--as-subvolume", p.mount+"/clone")

	// nobody may not create a device.
	testdest.Must(t, os.Remove(src+"/null"))
	testdest.WantExit(t, testbin.AsNobody(t, "backup", src, p.dest, "--", "--fake-super"), 0)
	testdest.WantExit(t, testbin.AsNobody(t, "restore", p.dest, "latest", "-t", home+"/own"), 0)
	if got := testdest.Tool(t, "getfattr", "-d", "-m-", "--", home+"/own/file"); !strings.Contains(got, `user.note="kept"`) || strings.Contains(got, "rsync") {
		t.Errorf("attributes: %s", got)
	}
	if got := testdest.Read(t, home+"/own/dir/setuid"); got != "y" {
		t.Errorf("setuid has %q", got)
	}
}

// Of what a backup was told not to keep, the target has the truth.
func TestWhatABackupDidNotKeepStaysInTheTarget(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/file", "x")
	testdest.Tool(t, "setfacl", "-m", "u:1000:rwx", src+"/file")
	testdest.Must(t, unix.Setxattr(src+"/file", "user.note", []byte("kept"), 0))
	before := testdest.Tool(t, "getfacl", "-pn", src+"/file") + testdest.Tool(t, "getfattr", "-d", src+"/file")
	p.backup(t, src, "--", "--no-acls", "--no-xattrs")
	p.restore(t, "--in-place", "--overwrite=if-changed")
	if after := testdest.Tool(t, "getfacl", "-pn", src+"/file") + testdest.Tool(t, "getfattr", "-d", src+"/file"); after != before {
		t.Errorf("now\n%s\nwas\n%s", after, before)
	}
	// Times of access that were kept come back.
	testdest.Tool(t, "touch", "-a", "-d", "2001-02-03 04:05:06", src+"/file")
	backup := p.backup(t, src, "--", "--atimes")
	testdest.Tool(t, "touch", "-a", src+"/file")
	p.restore(t, "--in-place", "--overwrite=always")
	if got, want := testdest.Tool(t, "stat", "-c%X", src+"/file"), testdest.Tool(t, "stat", "-c%X", backup+"/file"); got != want {
		t.Errorf("read at %s, want %s", got, want)
	}
}

// Without its record only the files show that a backup was made with --fake-super.
func TestABackupMadeWithFakeSuperAndWithoutARecord(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/file", "x")
	p.backup(t, src, "--", "--fake-super")
	quiet := p.restore(t, "-t", p.mount+"/with a record")
	testdest.Must(t, os.Chown(src+"/file", 5, 6))
	p.backup(t, src, "--", "--fake-super")
	testdest.Must(t, os.RemoveAll(p.dest+"/.log/records"))
	said := p.restore(t, "-t", p.mount+"/target")
	if want := "stored by rsync --fake-super"; strings.Contains(quiet.Stderr, want) || !strings.Contains(said.Stderr, want) {
		t.Errorf("with its record:\n%s\nwithout:\n%s", quiet.Stderr, said.Stderr)
	}
	_, command, _ := strings.Cut(strings.TrimSpace(said.Stderr), "to restore them: ")
	command = strings.NewReplacer("BACKUP", p.dest+"/cur", "TARGET", p.mount+"/target").Replace(command)
	testdest.Tool(t, "sh", "-c", command)
	testdest.WantSame(t, src, p.mount+"/target")
}
