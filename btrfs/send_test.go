//go:build linux

package btrfs

import (
	"runtime"
	"testing"
)

// TestSendRequestNumber compares with what gcc makes of linux/btrfs.h, with -m32 for 386.
func TestSendRequestNumber(t *testing.T) {
	want := uintptr(0x40489426)
	switch {
	case runtime.GOARCH == "386":
		want = 0x40449426
	case dirNone != 0: // mips, ppc64
		want = 0x80489426
	}
	if reqSend != want {
		t.Errorf("BTRFS_IOC_SEND = %#x, want %#x", uintptr(reqSend), want)
	}
}
