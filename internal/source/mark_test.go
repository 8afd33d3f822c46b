package source

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

func TestIsOpaque(t *testing.T) {
	for _, c := range []struct {
		kind, source string
		want         bool
	}{
		{"btrfs", "/dev/sda1", false},
		{"ext4", "/dev/sda1", false},
		{"fuse.bindfs", "/mnt/disk", true},
		{"fuse", "bindfs", true},
		{"fuse.sshfs", "me@localhost:/mnt", true},
		{"fuse.sshfs", "me@here:/mnt", true},
		{"fuse.sshfs", "me@elsewhere:/mnt", false},
		{"fuse.rclone", "drive:mnt", false},
		{"overlay", "overlay lowerdir=/a:/b", true},
		{"ecryptfs", "/home/.ecryptfs/me/.Private", true},
		{"nfs4", "127.0.0.1:/srv", true},
		{"nfs4", "[::1]:/srv", true},
		{"nfs", "[2001:db8::1]:/srv", false},
		{"nfs", "elsewhere:/srv", false},
		{"cifs", "//localhost/share", true},
		{"cifs", "//here/share", true},
		{"smb3", "//elsewhere/share", false},
		{"9p", "hostshare", true},
		{"virtiofs", "hostshare", true},
		{"ceph", "admin@fs=/", false},
	} {
		if got := isOpaque(mounts.Mount{Kind: c.kind, Source: c.source}, "here"); got != c.want {
			t.Errorf("%s of %q: opaque is %t", c.kind, c.source, got)
		}
	}
}
