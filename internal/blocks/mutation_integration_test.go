//go:build integration

package blocks

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

// TestBrokenProofs breaks each condition in turn by which a range of a file is taken for what it was, and lets other
// tests notice it.
func TestBrokenProofs(t *testing.T) {
	testbin.WantNoticed(t, ".", "Changes|Pieces|Record", []testbin.Mutation{
		{"plan.go", "p.settled || p.generation <= since && there(p.address)", "p.settled || there(p.address)"},
		{"plan.go", "p.settled || p.generation <= since && there(p.address)", "p.settled || p.generation <= since"},
		{"plan.go", "then.place != now.place || ", ""},
		{"plan.go", "then.from != now.from || ", ""},
		{"plan.go", "then.encoded != now.encoded || ", ""},
		{"plan.go", " || !lies() {", " {"},
		{"plan.go", "min(had, size) / unit * unit", "size"},
		{"plan.go", "min(had, size) / unit * unit", "min(had, size)"},
		{"plan.go", "\t\tc.add(max(was[0].offset, from), min(was[0].end(), end), true)\n", ""},
		{"plan.go", "\tc.add(max(from, c.limit), end, true)\n", ""},
		{"plan.go", "\t\t\tc.add(at, old.offset, false)\n", ""},
		{"plan.go", "\t\t\tc.add(max(at, c.limit), end, false)\n", "\t\t\t_ = end\n"},
		{"plan.go", "\tc.add(at, p.end(), false)\n", ""},
		{"pieces.go", "p.place += skip", "p.place += 0"},
		{"pieces.go", "p.from += skip", "p.from += 0"},
		{"pieces.go", "q.place == p.place && q.from == p.from+p.length", "q.place == p.place"},
		{"pieces.go", "return q.place == p.place+p.length", "return true"},
		{"pieces.go", "q.offset != p.end() || ", ""},
		{"record.go", "if !same {", "if !same && false {"},
	})
	testbin.WantNoticed(t, ".", "TestA|TestData|TestWhat|TestIsStill", []testbin.Mutation{
		{"tree.go", "return p, b[20] == regular && p.address != 0, nil", "return p, p.address != 0, nil"},
		{"tree.go", "settled: item.TransID <= since", "settled: true"},
		{"tree.go", "|| b[20] != regular && b[20] != prealloc {", "{"},
		{"tree.go", "b[16]|b[17]|b[18]|b[19] != 0", "b[17]|b[18]|b[19] != 0"},
		{"tree.go", "const generationAt = 8", "const generationAt = 0"},
		{"files.go", "if err != nil || string(pieces) != string(n.pieces) {", "if err != nil || pieces == nil {"},
		{"files.go", "\t\t\terr = btrfs.WriteOut(f)\n", ""},
	})
	testbin.WantNoticed(t, "../../integration/blocks", "TestAFileWithoutCopyOnWrite|TestNewFiles|TestOptionsThatReadEverything", []testbin.Mutation{
		{"files.go", "\t\tif err == nil && !inPlace {\n\t\t\treturn f", "\t\tif err == nil {\n\t\t\treturn f"},
		{"files.go", "case unchanged && found && known.generation > 0:", "case found && known.generation > 0:"},
		{"../backup/patch.go", " && s.walked.ByGeneration", ""},
	})
	testbin.WantNoticed(t, "../pending", "TestCopyRanges", []testbin.Mutation{
		{"../pending/ranges.go", " || now.Ctim != st.Ctim", ""},
		{"../pending/ranges.go", "now.Mtim != st.Mtim || ", ""},
	})
}
