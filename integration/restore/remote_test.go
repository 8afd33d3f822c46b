//go:build integration

package restore

import (
	"fmt"
	"os"
	"testing"

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
	check(t, os.Mkdir(strange, 0o755))
	for _, target := range []string{p.mount + "/plain", strange, strange + "/new", p.mount + "/new\nline"} {
		p.restore(t, "-e", ssh.Shell, "-t", "127.0.0.1:"+target, "--overwrite=if-changed")
		if target == strange {
			check(t, os.RemoveAll(target+"/acl"))
			p.restore(t, "-e", ssh.Shell, "-t", "root@localhost:"+target+"/", "--overwrite=never")
		}
		wantSame(t, backup, target)
		check(t, os.RemoveAll(p.mount+"/new\nline"))
	}

	// A path, --delete below it, and a symlink over there.
	outside, target := p.mount+"/outside", p.mount+"/paths"
	write(t, outside+"/ssh/victim", "x")
	check(t, os.Mkdir(target, 0o755))
	write(t, target+"/top", "x")
	check(t, os.Symlink(outside, target+"/etc"))
	p.restore(t, "-e", ssh.Shell, "-t", "[::1]:"+target, "--overwrite=if-changed", "--delete", "etc/ssh")
	if !exists(outside+"/ssh/victim") || exists(outside+"/ssh/sshd_config") || !exists(target+"/etc/ssh/sshd_config") || !exists(target+"/top") {
		t.Error("a symlink was followed, or --delete went too far")
	}

	before := digest(t, p.mount)
	p.restore(t, "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/plain", "-n", "--delete")
	p.refuse(t, 13, "may hold files", "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/plain")
	p.refuse(t, 2, "would expand", "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/pl*", "--overwrite=always")
	p.refuse(t, 12, "refused", "-e", ssh.With("user", testserver.FreePort(t)), "-t", "127.0.0.1:"+p.mount+"/plain", "--overwrite=always")
	p.refuse(t, 12, "", "-e", ssh.Shell, "-t", "127.0.0.1:"+p.mount+"/missing/deep", "--overwrite=always")
	if digest(t, p.mount) != before {
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
	check(t, os.RemoveAll(src+"/etc"))
	p.restore(t, "-e", ssh.Shell, "--in-place", "--overwrite=if-changed")
	wantSame(t, backup, src)
}

// A module that takes nothing is a target out of reach, not a wrong option.
func TestAReadOnlyDaemonExits12(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	src := p.mount + "/src"
	write(t, src+"/file", "x")
	url := fmt.Sprintf("rsync://127.0.0.1:%d/files/", testserver.StartDaemon(t, src))
	p.backup(t, url)
	p.refuse(t, 12, "read only", "--in-place", "--overwrite=if-changed")
}
