//go:build integration

package restore

import (
	"fmt"
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

func TestARemoteTargetGetsTheSame(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, src)
	strange := p.mount + `/a b  'quoted' "twice" $HOME $(id) ; back\slash ü`
	testdest.Must(t, os.Mkdir(strange, 0o755))
	for _, target := range []string{p.mount + "/plain", strange, strange + "/new", p.mount + "/new\nline"} {
		p.restore(t, "-e", ssh.Shell, "-t", "127.0.0.1:"+target, "--overwrite=if-changed")
		if target == strange {
			testdest.Must(t, os.RemoveAll(target+"/acl"))
			p.restore(t, "-e", ssh.Shell, "-t", "root@localhost:"+target+"/", "--overwrite=never")
		}
		testdest.WantSame(t, backup, target)
		testdest.Must(t, os.RemoveAll(p.mount+"/new\nline"))
	}

	// A path, --delete below it, and a symlink in the target.
	outside, target := p.mount+"/outside", p.mount+"/paths"
	testdest.Write(t, outside+"/ssh/victim", "x")
	testdest.Must(t, os.Mkdir(target, 0o755))
	testdest.Write(t, target+"/top", "x")
	testdest.Must(t, os.Symlink(outside, target+"/etc"))
	p.restore(t, "-e", ssh.Shell, "-t", "[::1]:"+target, "--overwrite=if-changed", "--delete", "etc/ssh")
	if !testdest.Exists(outside+"/ssh/victim") || testdest.Exists(outside+"/ssh/sshd_config") || !testdest.Exists(target+"/etc/ssh/sshd_config") || !testdest.Exists(target+"/top") {
		t.Error("a symlink was followed, or --delete went too far")
	}

	before := listing(t, p.mount)
	p.restore(t, "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/plain", "-n", "--delete")
	p.refuse(t, 13, "may hold files", "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/plain")
	p.refuse(t, 2, "would expand", "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/pl*", "--overwrite=always")
	p.refuse(t, 12, "refused", "-e", ssh.With("user", testserver.FreePort(t)), "-t", "127.0.0.1:"+p.mount+"/plain", "--overwrite=always")
	p.refuse(t, 12, "", "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/missing/deep", "--overwrite=always")
	if listing(t, p.mount) != before {
		t.Error("a dry run or a refusal changed something")
	}
}

func TestInPlaceToTheHostItCameFrom(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	p := newPlace(t)
	src := p.mount + "/src"
	oddities(t, src)
	backup := p.backup(t, "root@127.0.0.1:"+src, "-e", ssh.Shell)
	testdest.Must(t, os.RemoveAll(src+"/etc"))
	p.restore(t, "-e", ssh.Shell, "--in-place", "--overwrite=if-changed")
	testdest.WantSame(t, backup, src)
}

// A module that takes nothing is a target out of reach, not a wrong option.
func TestAReadOnlyDaemonExits12(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/file", "x")
	url := fmt.Sprintf("rsync://127.0.0.1:%d/files/", testserver.StartDaemon(t, src))
	p.backup(t, url)
	p.refuse(t, 12, "read only", "--in-place", "--overwrite=if-changed")
}

// Of a remote target rsync lists kinds, and times in seconds.
func TestARemoteTargetIsProtected(t *testing.T) {
	t.Parallel()
	ssh := testserver.StartSSH(t)
	p := newPlace(t)
	src := p.mount + "/src"
	testdest.Write(t, src+"/a", "x")
	testdest.Write(t, src+"/d/sub/file", "y")
	testdest.Must(t, os.Link(src+"/a", src+"/d/a"))
	testdest.Must(t, os.Symlink("backup", src+"/link"))
	testdest.Must(t, os.Symlink("backup", src+"/linked"))
	testdest.Must(t, os.Link(src+"/linked", src+"/linked 2"))
	testdest.Write(t, src+"/b[1]\\x/newer", "backup")
	testdest.Write(t, src+"/full", "backup")
	testdest.Must(t, os.Link(src+"/full", src+"/full 2"))
	for _, name := range []string{"link", "linked", "b[1]\\x/newer"} {
		testdest.Tool(t, "touch", "-h", "-d", "2020-01-01 12:00:00.5", src+"/"+name)
	}
	p.backup(t, src)
	for _, mode := range []string{"never", "if-newer"} {
		target := p.mount + "/" + mode
		for name, content := range map[string]string{"d": "f", "b[1]\\x/newer": "target", "full/inside": "z"} {
			testdest.Write(t, target+"/"+name, content)
		}
		testdest.Must(t, os.Symlink("target", target+"/link"))
		testdest.Must(t, os.Symlink("target", target+"/linked"))
		testdest.Must(t, os.Link(target+"/linked", target+"/linked 2"))
		for _, name := range []string{"link", "linked", "b[1]\\x/newer"} {
			testdest.Tool(t, "touch", "-h", "-d", "2020-01-01 12:00:01.6", target+"/"+name)
		}
		files := func() string {
			return testdest.Tool(t, "find", target, "!", "-type", "d", "-printf", "%i %y %n %s %T@ %C@ %P -> %l\n") + testdest.Read(t, target+"/d") + testdest.Read(t, target+"/b[1]\\x/newer")
		}
		before := files()
		to := []string{"restore", p.dest, "latest", "-e", ssh.Shell, "-t", "127.0.0.1:" + target, "--overwrite", mode}
		for _, args := range [][]string{nil, {"--", "d/sub", "link", "b[1]\\x", "full"}} {
			r := testbin.Run(t, append(to, args...)...)
			wantOneLine(t, r, 3, "/d stays, and the backup has a directory in its place: Not a directory")
		}
		if got := testdest.Tool(t, "cat", target+"/a", target+"/full 2"); got != "xbackup" {
			t.Errorf("%s: the rest has %q", mode, got)
		}
		for _, name := range []string{"a", "full 2"} {
			testdest.Must(t, os.Remove(target+"/"+name))
		}
		if after := files(); after != before {
			t.Errorf("%s: now\n%s\nwas\n%s", mode, after, before)
		}
	}
}
