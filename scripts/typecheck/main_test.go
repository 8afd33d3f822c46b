package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEachArchitectureHasItsOwnTypes(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module example.com/m\n\ngo 1.26\n",
		"m.go":   "//go:build integration\n\npackage m\n\nconst word int = 1 << 40\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for arch, sound := range map[string]bool{"amd64": true, "386": false} {
		if err := check(dir, arch); (err == nil) != sound {
			t.Errorf("%s: %v, want sound %v", arch, err, sound)
		}
	}
}
