package readback

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/facts"
)

func TestMergeRanges(t *testing.T) {
	got := mergeRanges([]facts.DamagedRange{{Offset: 0, Length: 4096}, {Offset: 4096, Length: 4096}, {Offset: 8192, Length: 100}, {Offset: 12288, Length: 4096}, {Offset: 12288, Length: 8192}})
	if diff := cmp.Diff([]facts.DamagedRange{{Offset: 0, Length: 8292}, {Offset: 12288, Length: 8192}}, got); diff != "" {
		t.Error(diff)
	}
}
