package config

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// writableByOthers says why users other than euid and root can change the content of file, and which command repairs
// that; or nothing. A user who may write to a parent directory can replace the file, unless the directory has the
// sticky bit.
func writableByOthers(file string, euid int) (why, fix string) {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err.Error(), ""
	}
	for path := real; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return err.Error(), ""
		}
		owner := int(info.Sys().(*syscall.Stat_t).Uid)
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		switch {
		case owner != euid && owner != 0:
			return fmt.Sprintf("%s belongs to user %d", path, owner), "chown root: " + path
		case info.Mode().Perm()&0o022 != 0 && !sticky:
			return fmt.Sprintf("the mode of %s is %#o", path, info.Mode().Perm()), "chmod go-w " + path
		case path == filepath.Dir(path):
			return "", ""
		}
	}
}
