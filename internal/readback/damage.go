package readback

import (
	"context"
	"os"
)

// ReadWhole reads f as Verify does, closes it, and tells whether all was well.
func ReadWhole(ctx context.Context, f *os.File, size int64) bool {
	good := false
	pool, err := NewPool(ctx, 1, func(int64) {}, func(f *File) { good = f.Err == nil && len(f.Bad) == 0 })
	if err != nil {
		_ = f.Close() // opened for reading
		return false
	}
	file := pool.Hold(f, "", size)
	pool.Add(file, 0, size)
	pool.Release(file)
	pool.Wait()
	return good
}
