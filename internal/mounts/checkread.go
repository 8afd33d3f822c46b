package mounts

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// ReadMount is the zero value where /proc does not tell.
func ReadMount(dir *os.File) Mount {
	var st unix.Statx_t
	if err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return Mount{}
	}
	table, err := Read()
	i := slices.IndexFunc(table, func(m Mount) bool { return m.id == st.Mnt_id })
	if err != nil || i < 0 {
		return Mount{}
	}
	return table[i]
}
