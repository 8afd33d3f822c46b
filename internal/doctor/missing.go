package doctor

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Missing says what to do about a DEST that does not exist: mount the disk that fstab(5) has for it, or make a
// directory if the one above it is on btrfs.
func Missing(dest string) (mend string, command []string) {
	if command := Unmounted(dest); command != nil {
		return "its disk is not mounted; to mount it", command
	}
	if onBtrfs(existing(dest)) {
		return "to make it a backup directory, install -d -m 0700 " + dest + " and then", []string{"rsbtbackup", "init", dest}
	}
	return "to see whether its disk is mounted", []string{"findmnt", "-t", "btrfs"}
}

// Unmounted returns the command that mounts the disk of dest, if fstab(5) has one that is not mounted.
func Unmounted(dest string) []string {
	table, err := os.ReadFile("/etc/fstab")
	point := mountPoint(string(table), dest)
	if err != nil || point == "" {
		return nil
	}
	var at, above unix.Stat_t
	if unix.Stat(point, &at) != nil || unix.Stat(filepath.Dir(point), &above) != nil || at.Dev != above.Dev {
		return nil
	}
	return []string{"mount", point}
}

// existing returns the nearest directory above path that exists.
func existing(path string) string {
	for dir := path; ; {
		dir = filepath.Dir(dir)
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// onBtrfs reports whether path exists and is on btrfs.
func onBtrfs(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && uint32(st.Type) == unix.BTRFS_SUPER_MAGIC
}

// mountPoint returns the nearest directory, dest or above it, where fstab(5) mounts a btrfs, or "".
func mountPoint(fstab, dest string) string {
	found := ""
	for line := range strings.Lines(fstab) {
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(fields[0], "#") || fields[2] != "btrfs" && fields[2] != "auto" {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(fields[1])
		if point != "/" && (dest == point || strings.HasPrefix(dest, strings.TrimSuffix(point, "/")+"/")) && len(point) > len(found) {
			found = point
		}
	}
	return found
}
