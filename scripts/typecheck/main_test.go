package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEachArchitectureHasItsOwnWords: what fits into a word of 64 bits does not fit into one of 32.
func TestEachArchitectureHasItsOwnWords(t *testing.T) {
	for name, text := range map[string]string{
		"constant": "const word int = 1 << 40",
		"shift":    "func High(word int) int { return word >> 40 }",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{
				"go.mod": "module example.com/m\n\ngo 1.26\n",
				"m.go":   "//go:build integration\n\npackage m\n\n" + text + "\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for arch, sound := range map[string]bool{"amd64": true, "386": false} {
				if err := newSources(dir).check(arch); (err == nil) != sound {
					t.Errorf("%s: %v, want sound %v", arch, err, sound)
				}
			}
		})
	}
}
