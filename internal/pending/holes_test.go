package pending

import (
	"bytes"
	"testing"
)

func TestTrimFindsWhatIsNotZeros(t *testing.T) {
	const block = holeBlock
	for _, c := range []struct {
		name        string
		size        int
		set         []int // offsets that are not zero
		first, last int
	}{
		{"all zeros", 4 * block, nil, 4 * block, 4 * block},
		{"nothing", 0, nil, 0, 0},
		{"first byte", 4 * block, []int{0}, 0, block},
		{"last byte", 4 * block, []int{4*block - 1}, 3 * block, 4 * block},
		{"in the middle", 4 * block, []int{block + 5}, block, 2 * block},
		{"two apart", 4 * block, []int{5, 3 * block}, 0, 4 * block},
		{"a short end, zeros", 2*block + 7, []int{5}, 0, block},
		{"a short end, data", 2*block + 7, []int{2*block + 6}, 2 * block, 2*block + 7},
		{"less than a block", 7, []int{6}, 0, 7},
	} {
		data := make([]byte, c.size)
		for _, i := range c.set {
			data[i] = 1
		}
		first, last := trim(data)
		if first != c.first || last != c.last {
			t.Errorf("%s: %d to %d, want %d to %d", c.name, first, last, c.first, c.last)
		}
	}
}

func FuzzTrim(f *testing.F) {
	f.Add([]byte{0, 0, 1}, 5000)
	f.Add([]byte{}, 100)
	f.Fuzz(func(t *testing.T, data []byte, shift int) {
		data = append(make([]byte, max(0, min(shift, holeUnit))), data...)
		first, last := trim(data)
		if first > last || last > len(data) {
			t.Fatalf("trim of %d bytes is %d to %d", len(data), first, last)
		}
		rest := append(bytes.Clone(data[:first]), data[last:]...)
		if len(bytes.Trim(rest, "\x00")) > 0 {
			t.Fatalf("trim leaves out what is not zeros")
		}
	})
}
