//go:build integration

package blocks

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// TestBrokenProofs breaks each condition in turn by which a range of a file is taken for what it was, and lets other
// tests notice it.
func TestBrokenProofs(t *testing.T) {
	const (
		unit  = "Changes|Pieces|Record"
		tree  = "TestA|TestWhat|TestIsStill"
		whole = "../../integration/blocks"
	)
	for _, m := range []struct{ file, old, new, tests, run string }{
		{"plan.go", "p.settled || p.generation <= since && there(p.address)", "p.settled || there(p.address)", ".", unit},
		{"plan.go", "p.settled || p.generation <= since && there(p.address)", "p.settled || p.generation <= since", ".", unit},
		{"plan.go", "then.place != now.place || ", "", ".", unit},
		{"plan.go", "then.from != now.from || ", "", ".", unit},
		{"plan.go", "then.encoded != now.encoded || ", "", ".", unit},
		{"plan.go", " || !lies() {", " {", ".", unit},
		{"plan.go", "min(had, size) / unit * unit", "size", ".", unit},
		{"plan.go", "min(had, size) / unit * unit", "min(had, size)", ".", unit},
		{"plan.go", "\t\tc.add(max(was[0].offset, from), min(was[0].end(), end), true)\n", "", ".", unit},
		{"plan.go", "\tc.add(max(from, c.limit), end, true)\n", "", ".", unit},
		{"plan.go", "\t\t\tc.add(at, old.offset, false)\n", "", ".", unit},
		{"plan.go", "\t\t\tc.add(max(at, c.limit), end, false)\n", "\t\t\t_ = end\n", ".", unit},
		{"plan.go", "\tc.add(at, p.end(), false)\n", "", ".", unit},
		{"pieces.go", "p.place += skip", "p.place += 0", ".", unit},
		{"pieces.go", "p.from += skip", "p.from += 0", ".", unit},
		{"pieces.go", "q.place == p.place && q.from == p.from+p.length", "q.place == p.place", ".", unit},
		{"pieces.go", "return q.place == p.place+p.length", "return true", ".", unit},
		{"pieces.go", "q.offset != p.end() || ", "", ".", unit},
		{"record.go", "if !same {", "if !same && false {", ".", unit},
		{"tree.go", "return p, b[20] == regular && p.address != 0, nil", "return p, p.address != 0, nil", ".", tree},
		{"tree.go", "settled: item.TransID <= since", "settled: true", ".", tree},
		{"tree.go", "|| b[20] != regular && b[20] != prealloc {", "{", ".", tree},
		{"tree.go", "b[16]|b[17]|b[18]|b[19] != 0", "b[17]|b[18]|b[19] != 0", ".", tree},
		{"tree.go", "const generationAt = 8", "const generationAt = 0", ".", tree},
		{"files.go", "if err != nil || string(pieces) != string(n.pieces) {", "if err != nil || pieces == nil {", ".", tree},
		{"files.go", "\t\t\terr = btrfs.WriteOut(f)\n", "", ".", tree},
		{"files.go", "\t\tif err == nil && !inPlace {\n\t\t\treturn f", "\t\tif err == nil {\n\t\t\treturn f", whole, "TestAFileWithoutCopyOnWrite"},
		{"files.go", "case unchanged && found && known.generation > 0:", "case found && known.generation > 0:", whole, "TestNewFiles"},
		{"../backup/patch.go", " && s.walked.ByGeneration", "", whole, "TestOptionsThatReadEverything"},
		{"../pending/ranges.go", " || now.Ctim != st.Ctim", "", "../pending", "TestCopyRanges"},
		{"../pending/ranges.go", "now.Mtim != st.Mtim || ", "", "../pending", "TestCopyRanges"},
	} {
		t.Run(m.file+": "+m.old, func(t *testing.T) {
			t.Parallel()
			testbin.Mutation{File: m.file, Old: m.old, New: m.new}.WantNoticed(t, "-tags", "integration", "-run", m.run, m.tests)
		})
	}
}
