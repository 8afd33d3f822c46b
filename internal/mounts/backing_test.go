package mounts

import (
	"slices"
	"testing"
)

func TestBacking(t *testing.T) {
	for _, c := range []struct {
		m    Mount
		want []string
	}{
		{Mount{Kind: "fuse.bindfs", Source: "/data", Device: "0:50"}, []string{"/data"}},
		{Mount{Kind: "fuse.sshfs", Source: "host:/data", Device: "0:50"}, nil},
		{Mount{Kind: "fuseblk", Source: "/dev/sda1", Device: "8:1"}, nil},
		{Mount{Kind: "ext4", Source: "/dev/sda1", Device: "8:1"}, nil},
		{Mount{Kind: "overlay", Source: "overlay lowerdir=/a:/b upperdir=/c", Device: "0:50"}, []string{"/a", "/b", "/c"}},
		{Mount{Kind: "overlay", Source: "overlay lowerdir+=/a", Device: "0:50"}, []string{"/a"}},
		{Mount{Kind: "overlay", Source: "overlay", Device: "0:50"}, nil},
	} {
		if got := backing(c.m); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.m, got, c.want)
		}
	}
}
