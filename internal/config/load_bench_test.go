package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad reads a config of 1,000 jobs.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	text.WriteString("[defaults]\nkeep-daily = 7\nexclude = 'x'\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "[job.j%d]\nsource = '/etc'\ndest = '/b/%d'\nexclude = 'y'\n", i, i)
	}
	file := filepath.Join(files(b, "c.toml", text.String()), "c.toml")
	for b.Loop() {
		if c, err := Load(file); err != nil || len(c.Jobs) != 1000 {
			b.Fatal(err)
		}
	}
}
