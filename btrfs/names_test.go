//go:build linux

package btrfs

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInodeRefs(t *testing.T) {
	ref := append([]byte{2, 0, 0, 0, 0, 0, 0, 0, 1, 0}, 'a')
	got, err := parseInodeRefs(slices.Concat(ref, ref), false, 256)
	if d := cmp.Diff([]inodeName{{256, "a"}, {256, "a"}}, got, cmp.AllowUnexported(inodeName{})); d != "" || err != nil {
		t.Error(err, d)
	}
	ext := slices.Concat([]byte{1, 1, 0, 0, 0, 0, 0, 0}, ref)
	got, err = parseInodeRefs(ext, true, 9)
	if d := cmp.Diff([]inodeName{{257, "a"}}, got, cmp.AllowUnexported(inodeName{})); d != "" || err != nil {
		t.Error(err, d)
	}
	for n := 1; n < len(ext); n++ {
		if _, err := parseInodeRefs(ext[:n], true, 9); err == nil {
			t.Errorf("%d bytes: no error", n)
		}
	}
}
