package blocks

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rsbtbackup/rsbtbackup/internal/pending"
)

// span is a plain piece, in units.
func span(offset, length, place uint64) piece {
	return piece{offset: offset * unit, length: length * unit, place: place * unit}
}

func encoded(offset, length, place, from uint64) piece {
	p := span(offset, length, place)
	p.from, p.encoded = from*unit, true
	return p
}

// since is the generation that the tests ask about: their pieces are of it, in a block of metadata that is newer.
const since = 10

func old(p piece) placed { return placed{piece: p, address: p.place, generation: since} }

func TestChanges(t *testing.T) {
	data := func(from, end int64) pending.Range { return pending.Range{Offset: from * unit, End: end * unit} }
	hole := func(from, end int64) pending.Range {
		return pending.Range{Offset: from * unit, End: end * unit, Hole: true}
	}
	written := func(p piece) placed { return placed{piece: p, address: p.place, generation: since + 1} }
	moved := func(p piece) placed { return placed{piece: p, address: 7777, generation: since} } // not there since then
	whole := []piece{span(0, 100, 1000)}
	for _, tt := range []struct {
		name      string
		was       []piece
		now       []placed
		had, size uint64 // in bytes; 100 units if 0
		want      []pending.Range
	}{
		{"the same", whole, []placed{old(span(0, 100, 1000))}, 0, 0, nil},
		{"the same, in two", whole, []placed{old(span(0, 30, 1000)), old(span(30, 70, 1030))}, 0, 0, nil},
		{"a block in the middle", whole, []placed{old(span(0, 30, 1000)), written(span(30, 1, 5000)), old(span(31, 69, 1031))}, 0, 0, []pending.Range{data(30, 31)}},
		{"written where it was", whole, []placed{written(span(0, 100, 1000))}, 0, 0, []pending.Range{data(0, 100)}},
		{"another extent where it was", whole, []placed{moved(span(0, 100, 1000))}, 0, 0, []pending.Range{data(0, 100)}},
		{"another extent, in a block that is not newer", whole, []placed{{piece: span(0, 100, 1000), address: 7777, generation: since, settled: true}}, 0, 0, nil},
		{"old data that came by a clone", whole, []placed{old(span(0, 30, 1000)), old(span(30, 1, 1040)), old(span(31, 69, 1031))}, 0, 0, []pending.Range{data(30, 31)}},
		{"old data, in a block that is not newer, that was elsewhere", whole, []placed{{piece: span(0, 100, 2000), generation: since, settled: true}}, 0, 0, []pending.Range{data(0, 100)}},
		{"all gone", whole, nil, 0, 0, []pending.Range{hole(0, 100)}},
		{"a hole in the middle", whole, []placed{old(span(0, 30, 1000)), old(span(40, 60, 1040))}, 0, 0, []pending.Range{hole(30, 40)}},
		{"a hole filled", []piece{span(0, 30, 1000), span(40, 60, 1040)}, []placed{old(span(0, 30, 1000)), written(span(30, 5, 9000)), old(span(40, 60, 1040))}, 0, 0, []pending.Range{data(30, 35)}},
		{"a hole filled by a clone", []piece{span(40, 60, 1040)}, []placed{old(span(0, 100, 1000))}, 0, 0, []pending.Range{data(0, 40)}},
		{"moved by a range put in", whole, []placed{old(span(0, 10, 1000)), written(span(10, 5, 9000)), old(span(15, 85, 1010))}, 0, 0, []pending.Range{data(10, 100)}},
		{"holes stay holes", []piece{span(50, 1, 1)}, []placed{old(span(50, 1, 1))}, 0, 0, nil},
		{"shorter", whole, []placed{old(span(0, 50, 1000))}, 0, 50*unit - 5, []pending.Range{{Offset: 49 * unit, End: 50*unit - 5}}},
		{"longer", []piece{span(0, 50, 1000)}, []placed{old(span(0, 50, 1000)), written(span(50, 50, 5000))}, 50*unit - 5, 0, []pending.Range{data(49, 100)}},
		{"longer by a hole", []piece{span(0, 50, 1000)}, []placed{old(span(0, 50, 1000))}, 50*unit - 5, 0, []pending.Range{data(49, 50), hole(50, 100)}},
		{"beyond the end", whole, []placed{old(span(0, 100, 1000))}, 100*unit - 5, 100*unit - 5, []pending.Range{{Offset: 99 * unit, End: 100*unit - 5}}},
		{"compressed, the same", []piece{encoded(0, 32, 1000, 0)}, []placed{old(encoded(0, 10, 1000, 0)), written(span(10, 1, 1)), old(encoded(11, 21, 1000, 11))}, 32 * unit, 32 * unit, []pending.Range{data(10, 11)}},
		{"compressed, another part", []piece{encoded(0, 32, 1000, 0)}, []placed{old(encoded(0, 32, 1000, 1))}, 32 * unit, 32 * unit, []pending.Range{data(0, 32)}},
		{"compressed, and was not", []piece{span(0, 32, 1000)}, []placed{old(encoded(0, 32, 1000, 0))}, 32 * unit, 32 * unit, []pending.Range{data(0, 32)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []*uint64{&tt.had, &tt.size} {
				if *size == 0 {
					*size = 100 * unit
				}
			}
			got := changes(tt.was, tt.now, tt.had, tt.size, since, func(address uint64) bool { return address != 7777 })
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestChangesOfRandomFiles compares with a file taken block by block.
func TestChangesOfRandomFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const blocks = 40
	type block struct {
		place uint64 // 0: a hole
		moved bool
	}
	pieces := func(file []block) (all []placed) {
		for i, b := range file {
			if b.place == 0 {
				continue
			}
			p := placed{piece: span(uint64(i), 1, b.place), generation: since}
			if b.moved {
				p.address = 7777
			}
			if n := len(all); n > 0 && all[n-1].follows(p.piece) && all[n-1].address == p.address && r.IntN(3) > 0 {
				all[n-1].length += unit
				continue
			}
			all = append(all, p)
		}
		return all
	}
	for range 20000 {
		was, now := make([]block, blocks), make([]block, blocks)
		for i := range was {
			if was[i].place = uint64(100 + i); r.IntN(3) == 0 {
				was[i].place = 0
			}
			now[i] = was[i]
			switch r.IntN(6) {
			case 0:
				now[i] = block{place: uint64(100 + r.IntN(blocks))}
			case 1:
				now[i].place = 0
			case 2:
				now[i].moved = true
			}
		}
		had, size := uint64(1+r.IntN(blocks*unit)), uint64(1+r.IntN(blocks*unit))
		var before []piece
		for _, p := range pieces(was) {
			before = append(before, p.piece)
		}
		got := make([]int, blocks) // 1: data, 2: hole
		for _, c := range changes(before, pieces(now), had, size, since, func(address uint64) bool { return address != 7777 }) {
			if c.Offset%unit != 0 || c.End%unit != 0 && c.End != int64(size) || c.End > int64(size) || c.Offset >= c.End {
				t.Fatalf("range %+v of %d bytes", c, size)
			}
			for i := c.Offset / unit; i*unit < c.End; i++ {
				if got[i] = 1; c.Hole {
					got[i] = 2
				}
			}
		}
		want := make([]int, blocks)
		for i := range want {
			begin := uint64(i) * unit
			same := was[i].place == now[i].place && (now[i].place == 0 || !now[i].moved) && begin+unit <= min(had, size)
			switch {
			case begin >= size || same:
			case now[i].place == 0:
				want[i] = 2
			default:
				want[i] = 1
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("was %v, now %v, had %d, size %d:\ngot  %v\nwant %v", was, now, had, size, got, want)
		}
	}
}
