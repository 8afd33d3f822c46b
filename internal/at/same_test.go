package at

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestSameBytes(t *testing.T) {
	dir := t.TempDir()
	open := func(name string, content []byte) *os.File {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	step := bytes.Repeat([]byte{1}, 128<<10)
	long := append(bytes.Clone(step), 2)
	for name, tt := range map[string]struct {
		a, b []byte
		want bool
	}{
		"empty":            {nil, nil, true},
		"one empty":        {nil, []byte{0}, false},
		"a whole block":    {step, step, true},
		"one goes on":      {step, long, false},
		"the other":        {long, step, false},
		"after the block":  {long, append(bytes.Clone(step), 3), false},
		"longer than that": {long, long, true},
	} {
		if got, err := SameBytes(t.Context(), open("a", tt.a), open("b", tt.b)); got != tt.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if same, err := SameBytes(t.Context(), open("a", step), d); same || err == nil {
		t.Errorf("what cannot be read: %v, %v", same, err)
	}
}
