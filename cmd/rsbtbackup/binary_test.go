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

// build returns the binary as it is released: as "make build" makes it.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rsbtbackup")
	args := []string{"build", "-tags", "nethttpomithttp2", "-trimpath", "-ldflags=-s -w", "-o", path}
	const own = "github.com/rsbtbackup/rsbtbackup/internal/"
	for _, small := range []string{
		"net/http", "crypto/...", "text/template/...", "github.com/alecthomas/kong", "github.com/pelletier/go-toml/...", "github.com/vbauerster/mpb/...",
		own + "config", own + "doctor", own + "imports", own + "jobs", own + "units", own + "replica", own + "manual", own + "share", own + "tell",
		own + "metrics", own + "timers", own + "hooks", own + "check", own + "restore", own + "prune", own + "backup", own + "transfer", own + "store",
		"github.com/rsbtbackup/rsbtbackup/cmd/rsbtbackup",
	} {
		args = append(args, "-gcflags="+small+"=-l")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}
