package facts

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// MinFree is an amount of free space: bytes, or a share of the filesystem.
type MinFree struct {
	Bytes   int64
	Percent float64 // 0 to 100
}

// String is the value as a user would write it.
func (m MinFree) String() string {
	if m.Percent > 0 {
		return fmt.Sprintf("%g %%", m.Percent)
	}
	return humanize.Bytes(uint64(m.Bytes))
}
