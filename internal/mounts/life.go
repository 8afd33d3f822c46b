package mounts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Life identifies the time from the first mount of the btrfs that dir is on to its last unmount, and the mounts below
// dir. While it stays the same, transactions have only been added. It is empty if unknown. points are the mount points
// below dir, relative to it.
func Life(dir *os.File) (life string, points []string, err error) {
	boot, err := BootID()
	inode := SysInode(dir)
	if err != nil || inode == 0 {
		return "", nil, err
	}
	path, err := os.Readlink(at.ProcPath(dir))
	if err != nil {
		return "", nil, err
	}
	table, err := Read()
	if err != nil {
		return "", nil, err
	}
	for _, m := range table.below(path) {
		rel, err := filepath.Rel(path, m.Point)
		if err != nil {
			return "", nil, err
		}
		points = append(points, rel)
	}
	return fmt.Sprintf("%s-%d-%s", boot, inode, table.below(path).hash()), points, nil
}

// BootID is the kernel's random id of the current boot.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

// below returns the mounts below a directory.
func (t Table) below(dir string) (below Table) {
	for _, m := range t {
		if m.Point != dir && at.IsWithin(m.Point, dir) {
			below = append(below, m)
		}
	}
	return below
}

// hash is a checksum of what is mounted where.
func (t Table) hash() string {
	sum := sha256.New()
	for _, m := range t {
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00", m.Point, m.Device, m.root) // never fails
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// SysInode returns the inode number of the directory in /sys that exists for the filesystem of dir from its first mount
// to its last unmount, or 0 if unknown. sysfs numbers inodes consecutively, and never uses a 64-bit number twice within
// a boot (Linux 5.5).
func SysInode(dir *os.File) uint64 {
	uuid, err := btrfs.FilesystemUUID(dir)
	if err != nil {
		return 0
	}
	d, err := os.Open("/sys/fs/btrfs/" + uuid.String())
	if err != nil {
		return 0
	}
	defer d.Close()
	var fs unix.Statfs_t
	var st unix.Stat_t
	// Another filesystem mounted over /sys may have any inode numbers.
	if unix.Fstatfs(int(d.Fd()), &fs) != nil || fs.Type != unix.SYSFS_MAGIC || unix.Fstat(int(d.Fd()), &st) != nil {
		return 0
	}
	return st.Ino
}
