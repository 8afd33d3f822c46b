package testbin

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Mutation breaks a source file, whose path is relative to the directory of the test: it replaces Old, which occurs
// once, by New.
type Mutation struct{ File, Old, New string }

// WantNoticed runs go test with args on the broken source. One of the selected tests must fail.
func (m Mutation) WantNoticed(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"test", "-vet=off", "-failfast", "-overlay", m.overlay(t)}, args...)...).CombinedOutput()
	if strings.Contains(string(out), "[build failed]") {
		t.Fatalf("it does not build:\n%s", out)
	}
	if err == nil {
		t.Errorf("no test notices %q in the place of %q", m.New, m.Old)
	}
}

// overlay is a file for go build -overlay.
func (m Mutation) overlay(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(m.File)
	must(t, err)
	if strings.Count(string(source), m.Old) != 1 {
		t.Fatal("the source has it no more, or more than once: name what stands there now")
	}
	dir := t.TempDir()
	broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(broken, []byte(strings.Replace(string(source), m.Old, m.New, 1)), 0o600))
	here, err := filepath.Abs(m.File)
	must(t, err)
	config, err := json.Marshal(map[string]any{"Replace": map[string]string{here: broken}})
	must(t, err)
	must(t, os.WriteFile(overlay, config, 0o600))
	return overlay
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
