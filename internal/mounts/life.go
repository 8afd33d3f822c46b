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

// Life names the time from the first mount of the btrfs that dir is on to its last unmount, and what is mounted below
// dir. As long as both stay, transactions have only been added. It is empty where that is not known. points are the
// mount points below dir, relative to it.
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

// BootID is what the kernel calls the time since it was started.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

// below is what is mounted below a directory.
func (t Table) below(dir string) (below Table) {
	for _, m := range t {
		if m.Point != dir && at.IsWithin(m.Point, dir) {
			below = append(below, m)
		}
	}
	return below
}

// hash is of what is mounted, and where.
func (t Table) hash() string {
	sum := sha256.New()
	for _, m := range t {
		fmt.Fprintf(sum, "%s\x00%s\x00%s\x00", m.Point, m.Device, m.root) // never fails
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// SysInode returns the inode of the directory that the filesystem of dir has in sys from its first mount to its last
// unmount, or 0 if that is not known. sysfs gives inode numbers in turn, and none twice within a boot where they have
// 64 bits (Linux 5.5).
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
	// What somebody mounted over /sys may have any inode numbers.
	if unix.Fstatfs(int(d.Fd()), &fs) != nil || fs.Type != unix.SYSFS_MAGIC || unix.Fstat(int(d.Fd()), &st) != nil {
		return 0
	}
	return st.Ino
}
