//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// No btrfs-progs, no shell, no coreutils: all btrfs work is done by ioctl.
func TestTheCycleNeedsNothingButRsync(t *testing.T) {
	t.Parallel()
	rsync, err := exec.LookPath("rsync")
	check(t, err)
	bin := t.TempDir()
	check(t, os.Symlink(rsync, bin+"/rsync"))
	bare := invocation{env: []string{"PATH=" + bin}}

	dest := filepath.Join(loopfs.New(t, "512M"), "dest")
	makeDir(t, dest)
	src := t.TempDir()
	addOddities(t, src)
	bare.must(t, "init", dest)
	for range 3 {
		bare.must(t, "backup", src, dest)
		wantSame(t, src, filepath.Join(dest, current(t, dest)))
		write(t, src+"/odd/plain", "edited")
	}
	bare.must(t, "list", dest)
	newest(t, dest, 3)
	wantTidy(t, dest)
}
