//go:build linux

package btrfs

import "testing"

// TestRequestNumbers compares with what gcc makes of linux/btrfs.h (SUBVOL_SYNC_WAIT, Linux 6.13: by hand) with generic
// direction bits, and with the same numbers carrying the alternate ones.
func TestRequestNumbers(t *testing.T) {
	alternate := dirNone != 0
	for _, tt := range []struct {
		name               string
		got                uintptr
		generic, alternate uintptr
	}{
		{"SYNC", reqSync, 0x9408, 0x20009408},
		{"FICLONE", reqFiclone, 0x40049409, 0x80049409},
		{"SNAP_DESTROY", reqSnapDestroy, 0x5000940f, 0x9000940f},
		{"TREE_SEARCH_V2", reqTreeSearchV2, 0xc0709411, 0xc0709411},
		{"INO_LOOKUP", reqInoLookup, 0xd0009412, 0xd0009412},
		{"SPACE_INFO", reqSpaceInfo, 0xc0109414, 0xc0109414},
		{"WAIT_SYNC", reqWaitSync, 0x40089416, 0x80089416},
		{"SNAP_CREATE_V2", reqSnapCreateV2, 0x50009417, 0x90009417},
		{"START_SYNC", reqStartSync, 0x80089418, 0x40089418},
		{"SUBVOL_CREATE_V2", reqSubvolCreateV2, 0x50009418, 0x90009418},
		{"SUBVOL_GETFLAGS", reqSubvolGetflags, 0x80089419, 0x40089419},
		{"SUBVOL_SETFLAGS", reqSubvolSetflags, 0x4008941a, 0x8008941a},
		{"DEV_INFO", reqDevInfo, 0xd000941e, 0xd000941e},
		{"FS_INFO", reqFsInfo, 0x8400941f, 0x4400941f},
		{"SET_RECEIVED_SUBVOL", reqSetReceived | 200<<sizeShift, 0xc0c89425, 0xc0c89425},
		{"GET_DEV_STATS", reqGetDevStats, 0xc4089434, 0xc4089434},
		{"GET_SUBVOL_INFO", reqGetSubvolInfo | 504<<sizeShift, 0x81f8943c, 0x41f8943c},
		{"GET_SUBVOL_ROOTREF", reqGetSubvolRootref, 0xd000943d, 0xd000943d},
		{"INO_LOOKUP_USER", reqInoLookupUser, 0xd000943e, 0xd000943e},
		{"SNAP_DESTROY_V2", reqSnapDestroyV2, 0x5000943f, 0x9000943f},
		{"ENCODED_WRITE", reqEncodedWrite &^ (0xff << sizeShift), 0x40009440, 0x80009440},
		{"FSGETXATTR", reqGetXFlags, 0x801c581f, 0x401c581f},
		{"FSSETXATTR", reqSetXFlags, 0x401c5820, 0x801c5820},
		{"SUBVOL_SYNC_WAIT", reqSubvolSyncWait, 0x40109441, 0x80109441},
	} {
		want := tt.generic
		if alternate {
			want = tt.alternate
		}
		if tt.got != want {
			t.Errorf("%s = %#x, want %#x", tt.name, tt.got, want)
		}
	}
}
