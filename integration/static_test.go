//go:build integration

package integration

import (
	"debug/elf"
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

func TestTheBinaryIsStaticAndSmall(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "rsbtbackup")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", name, "github.com/rsbtbackup/rsbtbackup/cmd/rsbtbackup")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(name)
	check(t, err)
	t.Logf("%d bytes", info.Size())
	if info.Size() >= 12_000_000 {
		t.Errorf("the binary has %d bytes, want under 12 MB", info.Size())
	}
	f, err := elf.Open(name)
	check(t, err)
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	check(t, err)
	if len(libraries) > 0 {
		t.Errorf("it needs %q", libraries)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
}
