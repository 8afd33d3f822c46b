//go:build linux

package btrfs

import (
	"runtime"
	"testing"
	"unsafe"
)

// TestSendArgsSize replaces the compile-time assertion of the other structs; see send_386.go.
func TestSendArgsSize(t *testing.T) {
	want := uintptr(72)
	if runtime.GOARCH == "386" {
		want = 68
	}
	if got := unsafe.Sizeof(sendArgs{}); got != want {
		t.Errorf("sendArgs has %d bytes, want %d", got, want)
	}
}
