//go:build linux

package btrfs

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxName is BTRFS_VOL_NAME_MAX. The struct has room for 4039 bytes, but from 256 on the kernel says ENAMETOOLONG.
const maxName = 255

// CheckName refuses a name that cannot be one for a subvolume: ErrInvalidName, with ENAMETOOLONG or EINVAL.
func CheckName(name string) error { return checkName(name) }

// checkName refuses what could be looked up anywhere but directly inside the parent.
func checkName(name string) error {
	if len(name) > maxName {
		return &kindError{ErrInvalidName, unix.ENAMETOOLONG}
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return &kindError{ErrInvalidName, unix.EINVAL}
	}
	return nil
}

// childPath is for messages and File.Name only, it is never looked up.
func childPath(parent *os.File, name string) string {
	return parent.Name() + "/" + name
}
