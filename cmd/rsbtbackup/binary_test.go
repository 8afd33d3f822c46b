package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The binary runs on a machine that has nothing but a kernel and rsync.
func TestBinaryIsStaticAndSmall(t *testing.T) {
	path := build(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if limit := int64(14_000_000); info.Size() > limit {
		t.Errorf("%d bytes, want at most %d", info.Size(), limit)
	}
	binary, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it wants a dynamic linker")
		}
	}
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it wants the libraries %q (%v)", libraries, err)
	}
}

// build returns the binary as it is released.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rsbtbackup")
	cmd := exec.CommandContext(t.Context(), "../../scripts/build.sh", path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	return path
}
