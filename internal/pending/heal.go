// Heal: files that Verify found damaged in the newest backup must not be in the next one.

package pending

import (
	"context"
	"os"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/readback"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// RemoveUnreadable reads every file below root from the disk, removes those that cannot be read and returns their
// names, so that rsync copies them again. Nobody else changes the tree. To let rsync compare or write these files would
// not do: it substitutes zeros for blocks it cannot read, so they equal zeros at the source, and a write into part of a
// damaged block fails, because btrfs reads the rest of it first (Linux 6.18).
func RemoveUnreadable(ctx context.Context, root *os.File) ([]string, error) {
	var mu sync.Mutex
	var damaged []string
	var first walk.FirstError
	pool, err := readback.NewPool(ctx, 0, func(int64) {}, func(f *readback.File) {
		mu.Lock()
		defer mu.Unlock()
		if len(f.Bad) > 0 {
			damaged = append(damaged, f.Path)
		}
		if f.Err != nil {
			first.Set(f.Err)
		}
	})
	if err != nil {
		return nil, err
	}
	w := walk.Walker{Enter: enterOwn, Visit: func(dir *os.File, e os.DirEntry) error {
		if !e.Type().IsRegular() {
			return nil
		}
		return pool.AddOwn(dir, e.Name(), walk.Below(root, dir, e.Name()))
	}}
	err = w.Walk(ctx, root)
	pool.Wait()
	if err == nil {
		err = first.Get()
	}
	if err != nil {
		return nil, err
	}
	for _, path := range damaged {
		if err := at.UnlinkBeneath(root, path, 0); err != nil {
			return nil, err
		}
	}
	return damaged, nil
}
