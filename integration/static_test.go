//go:build integration

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// No btrfs-progs, no shell, no coreutils: all btrfs work is done by ioctl.
func TestTheCycleNeedsNothingButRsync(t *testing.T) {
	t.Parallel()
	rsync, err := exec.LookPath("rsync")
	testdest.Must(t, err)
	bin := t.TempDir()
	testdest.Must(t, os.Symlink(rsync, bin+"/rsync"))
	bare := invocation{env: []string{"PATH=" + bin}}

	dest := filepath.Join(loopfs.New(t, "512M"), "dest")
	testdest.MakeDir(t, dest)
	src := t.TempDir()
	addOddities(t, src)
	bare.must(t, "init", dest)
	for range 3 {
		bare.must(t, "backup", src, dest)
		testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
		testdest.Write(t, src+"/odd/plain", "edited")
	}
	bare.must(t, "list", dest)
	newest(t, dest, 3)
	wantTidy(t, dest)
}
