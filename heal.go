// Heal: what Verify found damaged in the newest backup must not be in the next.

package rsbtbackup

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// metadataDamaged tells whether Verify found that in the newest backup. A
// snapshot of it would have the damage as well, and what hangs on a lost block
// can not even be removed: the kernel then refuses to make a snapshot of what it
// was removed from (Linux 6.18).
func metadataDamaged(newest *Snapshot) bool {
	return knownDamaged(newest) && newest.Record.Verified.Metadata
}

// knownDamaged tells whether Verify found damage in a backup.
func knownDamaged(b *Snapshot) bool {
	return b != nil && b.Record != nil && b.Record.Verified != nil && b.Record.Verified.Result == Damaged
}

// removeUnreadable reads every file below root, which nobody else changes,
// from the disk, removes those that cannot be read and returns their names, so that
// rsync copies them anew. Neither comparing nor writing would do: rsync takes zeros
// for what it cannot read, so damaged zeros compare equal, and a write into part of a
// damaged block fails, since btrfs reads the rest of it first (Linux 6.18).
func removeUnreadable(ctx context.Context, root *os.File) ([]string, error) {
	var mu sync.Mutex
	var damaged []string
	var first firstError
	pool, err := newFilePool(ctx, 0, func(int64) {}, func(f *pooledFile) {
		mu.Lock()
		defer mu.Unlock()
		if len(f.bad) > 0 {
			damaged = append(damaged, f.path)
		}
		if f.err != nil {
			first.set(f.err)
		}
	})
	if err != nil {
		return nil, err
	}
	w := walker{enter: enterOwn, visit: func(dir *os.File, e os.DirEntry) error {
		if !e.Type().IsRegular() {
			return nil
		}
		return pool.addOwn(dir, e.Name(), below(root, dir, e.Name()))
	}}
	err = w.walk(ctx, root)
	pool.wait()
	if err == nil {
		err = first.get()
	}
	if err != nil {
		return nil, err
	}
	for _, path := range damaged {
		if err := unlinkBeneath(root, path, 0); err != nil {
			return nil, err
		}
	}
	return damaged, nil
}

// addOwn queues all the data of a file in pending, under each of its names.
func (p *filePool) addOwn(dir *os.File, name, path string) error {
	f, err := openOwn(dir, name, unix.O_RDONLY|unix.O_DIRECT)
	if err != nil {
		return err
	}
	st, err := statFile(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	file := p.hold(f, path, st.Size)
	defer p.release(file)
	return p.addData(file, st)
}
