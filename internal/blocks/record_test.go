package blocks

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var oddPieces = []piece{
	span(0, 1, 1<<40), encoded(1, 32, 7, 3), span(40, 1, 0), span(41, 1, 1<<51), encoded(1<<30, 1, 1<<51-1, 0), span(1<<50, 5, 9),
}

func TestPiecesRoundTrip(t *testing.T) {
	for _, pieces := range [][]piece{nil, oddPieces, {{offset: 0, length: unit, place: math.MaxUint64 / unit * unit}, span(1, 1, 1)}} {
		buf, err := encode(pieces)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(buf)
		if diff := cmp.Diff(pieces, got, cmp.AllowUnexported(piece{})); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	for _, bad := range [][]piece{{span(1, 0, 1)}, {span(5, 1, 1), span(4, 1, 1)}, {{length: 512}}, {{length: unit, place: 1}}} {
		if _, err := encode(bad); err == nil {
			t.Errorf("%+v is encoded", bad)
		}
	}
}

func TestPiecesThatFollow(t *testing.T) {
	for _, tt := range []struct {
		a, b piece
		want bool
	}{
		{span(0, 2, 10), span(2, 1, 12), true},
		{span(0, 2, 10), span(3, 1, 12), false},
		{span(0, 2, 10), span(2, 1, 13), false},
		{span(0, 2, 10), encoded(2, 1, 12, 0), false},
		{encoded(0, 2, 10, 4), encoded(2, 1, 10, 6), true},
		{encoded(0, 2, 10, 4), encoded(2, 1, 10, 5), false},
		{encoded(0, 2, 10, 4), encoded(2, 1, 12, 6), false},
	} {
		if got := len(add([]piece{tt.a}, tt.b)) == 1; got != tt.want {
			t.Errorf("%+v then %+v: %v", tt.a, tt.b, got)
		}
	}
}

func TestRecordRoundTrip(t *testing.T) {
	pieces, _ := encode(oddPieces)
	files := map[string]file{"a/b": {5, pieces}, "a\n": {math.MaxUint64, nil}, "": {1, []byte{0}}}
	buf := render("life", files)
	if diff := cmp.Diff(files, parse(buf, "life"), cmp.AllowUnexported(file{}), cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
		t.Error(diff)
	}
	other := parse(buf, "another life")
	if f, found := other["a/b"]; !found || f.generation != 0 || len(f.pieces) > 0 || len(other) != len(files) {
		t.Errorf("in another life: %+v", other)
	}
	for i := range len(buf) {
		_ = parse(buf[:i], "life") // it may not fall over
	}
	if got := parse(nil, "life"); len(got) > 0 {
		t.Errorf("nothing has %+v", got)
	}
}

func TestRecordIsBounded(t *testing.T) {
	large := file{1, make([]byte, maxRecord-100)}
	buf := render("life", map[string]file{"a": large, "b": large, "c": {1, nil}})
	if got := parse(buf, "life"); len(buf) > maxRecord+100 || len(got) != 2 || got["c"].generation != 1 {
		t.Errorf("%d bytes, %d files", len(buf), len(got))
	}
}

// FuzzRecord: whatever is there, nothing falls over, and what is understood is what would be written.
func FuzzRecord(f *testing.F) {
	pieces, _ := encode(oddPieces)
	f.Add(render("life", map[string]file{"a/b": {5, pieces}, "c": {}}))
	f.Add([]byte(strings.Repeat("\xff", 40)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range parse(data, "life") {
			pieces, err := decode(file.pieces)
			if err != nil {
				continue
			}
			end := uint64(0)
			for _, p := range pieces {
				if p.offset < end || p.end() <= p.offset {
					t.Fatalf("%+v", pieces)
				}
				end = p.end()
			}
		}
	})
}
