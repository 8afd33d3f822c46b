// What a filesystem without an id of its own is made of.

package mounts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// madeOf identifies a filesystem by what its mount names: the directories that FUSE or overlayfs show, an image, or a
// disk from when it was attached until it is detached. Only local disks are asked. It is empty if unknown.
func madeOf(m Mount) string {
	paths := backing(m)
	var table Table
	if len(paths) > 0 {
		var err error
		if table, err = Read(); err != nil {
			return ""
		}
	}
	var parts []string
	for _, path := range paths {
		part := table.identityAt(path)
		if part == "" {
			return ""
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		sequence, err := os.ReadFile("/sys/dev/block/" + m.Device + "/diskseq") // Linux 5.15
		boot, bootErr := BootID()
		if err != nil || bootErr != nil {
			return ""
		}
		parts = []string{boot, string(sequence)}
	}
	return hashed(parts...)
}

func hashed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

// backing are the paths that a mount names. It is pure.
func backing(m Mount) []string {
	switch {
	case m.Kind == "overlay":
		var paths []string
		for option := range strings.SplitSeq(m.Source, " ") {
			name, dirs, _ := strings.Cut(option, "=")
			if strings.HasPrefix(name, "lowerdir") || name == "upperdir" {
				paths = append(paths, strings.FieldsFunc(dirs, func(r rune) bool { return r == ':' })...)
			}
		}
		return paths
	case strings.HasPrefix(m.Kind, "fuse") && filepath.IsAbs(m.Source) && strings.HasPrefix(m.Device, "0:"):
		return []string{m.Source}
	}
	return nil
}

// identityAt identifies a directory, or an image, on a local disk: on a share of an unreachable host it would hang.
func (t Table) identityAt(path string) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	on, ok := t.at(path)
	if !ok || strings.HasPrefix(on.Device, "0:") && !slices.Contains([]string{"btrfs", "zfs", "bcachefs"}, on.Kind) {
		return ""
	}
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		id, err := IdentifyPath(path)
		if err != nil || id.UUID == "" && id.FSID == "" {
			return ""
		}
		return fmt.Sprintf("%x-%s-%s-%s-%d", id.FSType, id.UUID, id.FSID, id.Subvolume, st.Ino)
	case unix.S_IFREG:
		return imageUUID(path)
	}
	return ""
}

// instance identifies a mount of FUSE whose source names nothing that lasts, or a tmpfs, until it is unmounted. It is
// empty for others, and if unknown. "host:/path" lasts. What is at a path of this machine may be another disk later;
// where that is known, madeOf tells.
func instance(dir *os.File, m Mount) string {
	boot, err := BootID()
	if err != nil || strings.ContainsAny(m.Source, "/:") && !filepath.IsAbs(m.Source) {
		return ""
	}
	var st unix.Statx_t
	switch {
	case strings.HasPrefix(m.Kind, "fuse"):
		// The entry in fusectl is made at the mount. If there is no fusectl, the id of the mount has to do, which is
		// another one in another namespace.
		connection := "/sys/fs/fuse/connections/" + strings.TrimPrefix(m.Device, "0:")
		if unix.Statx(unix.AT_FDCWD, connection, unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &st) == nil {
			return fmt.Sprintf("%s-%s-%d-%d.%09d", boot, m.Device, st.Ino, st.Ctime.Sec, st.Ctime.Nsec)
		}
		if unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st) != nil || st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
			return ""
		}
		return fmt.Sprintf("%s-mount-%d", boot, st.Mnt_id)
	case m.Kind == "tmpfs":
		if unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st) != nil || st.Mask&unix.STATX_BTIME == 0 {
			return ""
		}
		return fmt.Sprintf("%s-%s-%d.%09d", boot, m.Device, st.Btime.Sec, st.Btime.Nsec)
	}
	return ""
}
