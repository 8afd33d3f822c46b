//go:build integration

package outside

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

const compression = "btrfs.compression"

func xattr(t testing.TB, path, name string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Lgetxattr(path, name, buf)
	if err == unix.ENODATA || err == unix.EOPNOTSUPP {
		return ""
	}
	testdest.Must(t, err)
	return string(buf[:n])
}

// compressible data takes next to no space where it is compressed.
func compressible(t testing.TB, path, what string) {
	t.Helper()
	testdest.Write(t, path, strings.Repeat(what+" ", 20<<20/(len(what)+1)))
}

// Compression that was set on DEST, before or after the first backup, is that of its backups.
func TestCompressionOfDest(t *testing.T) {
	t.Parallel()
	server := testserver.StartSSH(t)
	for name, remote := range map[string][]string{"local": nil, "remote": {"-e", server.Shell}} {
		t.Run(name, func(t *testing.T) {
			src := newSource(t)
			disk := loopfs.New(t, "1G")
			dest := filepath.Join(disk, "dest")
			testdest.Must(t, os.Mkdir(dest, 0o755))
			testbin.Must(t, "init", dest)
			from := src
			if remote != nil {
				from = "root@127.0.0.1:" + src
			}
			testdest.Write(t, filepath.Join(src, "old", "file"), "x")
			testdest.Must(t, unix.Setxattr(filepath.Join(src, "old"), "user.kept", []byte("y"), 0))
			testdest.Tool(t, "setfacl", "-m", "u:1234:r", filepath.Join(src, "old", "file"))
			backup(t, 0, from, dest, remote...)
			testdest.Tool(t, "btrfs", "property", "set", dest, "compression", "zstd")
			before := used(t, disk)
			compressible(t, filepath.Join(src, "old", "large"), "one")
			compressible(t, filepath.Join(src, "new", "large"), "two")
			for range 2 {
				backup(t, 0, from, dest, remote...)
				for _, path := range []string{"", "old", "new", "old/large", "new/large"} {
					if got := xattr(t, filepath.Join(testdest.CurrentPath(t, dest), path), compression); got != "zstd" {
						t.Errorf("compression of %q is %q", path, got)
					}
				}
				testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--filter=-x btrfs.*", "--filter=-x system.*")
			}
			if took := used(t, disk) - before; took > 10<<20 {
				t.Errorf("40 MB of repetition take %d B", took)
			}
			// An attribute that goes, goes; ACLs too.
			testdest.Must(t, unix.Removexattr(filepath.Join(src, "old"), "user.kept"))
			testdest.Tool(t, "setfacl", "-b", filepath.Join(src, "old", "file"))
			backup(t, 0, from, dest, remote...)
			testdest.WantSame(t, src, testdest.CurrentPath(t, dest), "--filter=-x btrfs.*", "--filter=-x system.*")
		})
	}
}

// What a source on btrfs has of its own is in the backup, and back in what is restored to a btrfs.
func TestCompressionOfTheSource(t *testing.T) {
	t.Parallel()
	src := filepath.Join(loopfs.New(t, "256M"), "source")
	dest := testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "dir", "file"), "x")
	testdest.Tool(t, "btrfs", "property", "set", filepath.Join(src, "dir"), "compression", "zstd")
	backup(t, 0, src, dest)
	if got := xattr(t, filepath.Join(testdest.CurrentPath(t, dest), "dir"), compression); got != "zstd" {
		t.Errorf("compression %q in the backup", got)
	}
	backup(t, 0, src, dest)
	testdest.WantSame(t, src, testdest.CurrentPath(t, dest))
	target := filepath.Join(loopfs.New(t, "256M"), "new")
	testbin.Must(t, "restore", dest, "latest", "-t", target)
	testdest.WantSame(t, testdest.CurrentPath(t, dest), target)
	testdest.Tool(t, "btrfs", "property", "set", filepath.Join(src, "dir"), "compression", "")
	backup(t, 0, src, dest)
	if got := xattr(t, filepath.Join(testdest.CurrentPath(t, dest), "dir"), compression); got != "" {
		t.Errorf("compression %q in the backup", got)
	}
}

// A target that cannot hold such an attribute is no error: another filesystem, or a btrfs without checksums.
func TestAttributesThatCannotBeHeld(t *testing.T) {
	t.Parallel()
	src := filepath.Join(loopfs.New(t, "256M"), "source")
	testdest.Write(t, filepath.Join(src, "dir", "file"), "x")
	testdest.Must(t, os.Link(filepath.Join(src, "dir", "file"), filepath.Join(src, "dir", "link")))
	for _, path := range []string{"dir", "dir/file"} {
		testdest.Tool(t, "btrfs", "property", "set", filepath.Join(src, path), "compression", "zstd")
	}
	testdest.Must(t, unix.Setxattr(filepath.Join(src, "dir"), "user.kept", []byte("y"), 0))
	plain := testdest.New(t, "256M")
	backup(t, 0, src, plain)
	target := filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "new")
	r := testbin.Must(t, "restore", plain, "latest", "-t", target)
	wantSaid(t, r, compression)
	if got := xattr(t, filepath.Join(target, "dir"), "user.kept"); got != "y" {
		t.Errorf("user.kept is %q", got)
	}
	server := testserver.StartSSH(t)
	remote := filepath.Join(loopfs.NewFS(t, "64M", "ext4"), "new")
	testbin.Must(t, "restore", plain, "latest", "-t", "root@127.0.0.1:"+remote, "-e", server.Shell, "--overwrite=if-changed")
	nocow := testdest.New(t, "256M", "nodatacow")
	for i := range 3 {
		testdest.Write(t, filepath.Join(src, "dir", "file"), strings.Repeat("y", i+1))
		backup(t, 0, src, nocow)
		testdest.WantSame(t, src, testdest.CurrentPath(t, nocow), "--filter=-x btrfs.*", "--filter=-x system.*")
	}
}
