//go:build integration

package blocks

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestRandomChanges changes large files at random, in all ways at once, and compares each backup with its source by
// reading both. BLOCKS_ROUNDS and BLOCKS_SEED make it another one.
func TestRandomChanges(t *testing.T) {
	for _, options := range [][]string{nil, {"compress-force=zstd"}} {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			rounds, seed := number("BLOCKS_ROUNDS", 40), number("BLOCKS_SEED", 1)
			w := newWorld(t, options...)
			c := &changer{world: w, r: rand.New(rand.NewPCG(uint64(seed), 1)), names: []string{"f", "g", "d/h"}}
			for _, name := range c.names {
				w.create(name, size)
			}
			w.snapshot("kept0")
			c.kept = append(c.kept, w.mount+"/kept0")
			w.backup()
			patched := 0
			for round := range rounds {
				c.did = nil
				for range 1 + c.r.IntN(6) {
					c.change()
				}
				if c.r.IntN(8) == 0 && len(c.kept) < 6 {
					name := fmt.Sprintf("kept%d", len(c.kept))
					w.snapshot(name)
					c.kept = append(c.kept, filepath.Join(w.mount, name))
				}
				frozen := c.r.IntN(4) == 0
				w.set = func(o *rsbtbackup.BackupOptions) { o.SnapshotSource = frozen }
				patched += w.backup().Patched
				if t.Failed() {
					t.Fatalf("seed %d, round %d: %v", seed, round, c.did)
				}
				w.log.Reset()
			}
			t.Logf("%d rounds, %d files copied by what had changed in them", rounds, patched)
			if patched < rounds/2 {
				t.Errorf("only %d files in %d rounds were copied by what had changed in them", patched, rounds)
			}
		})
	}
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// changer changes files at random.
type changer struct {
	*world
	r     *rand.Rand
	names []string
	kept  []string // snapshots of the source
	did   []string
}

func (c *changer) change() {
	name := c.names[c.r.IntN(len(c.names))]
	info, err := os.Stat(c.at(name))
	testdest.Must(c.t, err)
	length := info.Size()
	offset, n := c.r.Int64N(length), 1+c.r.Int64N(2<<c.r.IntN(20))
	aligned, blocks := offset/4096*4096, (n/4096+1)*4096
	kind := c.r.IntN(17)
	c.did = append(c.did, fmt.Sprintf("%d of %s (%d bytes) at %d+%d", kind, name, length, offset, n))
	switch kind {
	case 0, 1, 2:
		c.write(name, offset, int(n))
	case 3:
		c.fallocate(name, punchHole, offset, n)
	case 4:
		c.fallocate(name, zeroRange|unix.FALLOC_FL_KEEP_SIZE, offset, n)
	case 5:
		c.fallocate(name, unix.FALLOC_FL_KEEP_SIZE, offset, n)
	case 6:
		testdest.Must(c.t, os.Truncate(c.at(name), max(9*mib, length-n)))
	case 7:
		testdest.Must(c.t, os.Truncate(c.at(name), min(16*mib, length+n)))
	case 8, 9: // from another file, or an older state of this one
		from := c.at(c.names[c.r.IntN(len(c.names))])
		if kind == 9 {
			from = filepath.Join(c.kept[c.r.IntN(len(c.kept))], name)
		}
		c.cloneSome(from, name, aligned, blocks)
	case 10: // back to what an older state has there
		c.cloneBack(name, aligned, blocks)
	case 11:
		c.keepTimes(name, func() { c.write(name, offset, int(n)) })
	case 12:
		c.mappedAt(name, offset/2, n)
	case 13:
		c.copied(name, aligned, blocks)
	case 14:
		testdest.Must(c.t, os.Chmod(c.at(name), 0o600|os.FileMode(c.r.IntN(64))))
	case 15:
		other := c.names[c.r.IntN(len(c.names))]
		testdest.Must(c.t, unix.Renameat2(unix.AT_FDCWD, c.at(name), unix.AT_FDCWD, c.at(other), unix.RENAME_EXCHANGE))
	case 16:
		testdest.SyncAll(c.t, c.mount)
	}
}

// cloneSome clones blocks of a file, from anywhere in it.
func (c *changer) cloneSome(from, to string, offset, n int64) {
	info, err := os.Stat(from)
	testdest.Must(c.t, err)
	at := c.r.Int64N(info.Size()) / 4096 * 4096
	if n = min(n, (info.Size()-at)/4096*4096); n == 0 || from == c.at(to) && at < offset+n && offset < at+n {
		return
	}
	c.clone(from, at, n, to, offset)
}

func (c *changer) cloneBack(name string, offset, n int64) {
	from := filepath.Join(c.kept[c.r.IntN(len(c.kept))], name)
	info, err := os.Stat(from)
	testdest.Must(c.t, err)
	if n = min(n, (info.Size()-offset)/4096*4096); n > 0 {
		c.clone(from, offset, n, name, offset)
	}
}

// mappedAt stores through a mapping that is gone at once.
func (c *changer) mappedAt(name string, offset, n int64) {
	f, err := os.OpenFile(c.at(name), os.O_RDWR, 0)
	testdest.Must(c.t, err)
	defer f.Close()
	data, err := unix.Mmap(int(f.Fd()), 0, 8*mib, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	testdest.Must(c.t, err)
	copy(data[min(offset, 8*mib):], c.noise(int(n)))
	testdest.Must(c.t, unix.Munmap(data))
}

// copied writes the same data to two files and lets them share it.
func (c *changer) copied(name string, offset, n int64) {
	other := c.names[c.r.IntN(len(c.names))]
	if n = min(n, 16*mib-offset); other == name {
		return
	}
	data := c.noise(int(n))
	for _, to := range []string{name, other} {
		c.with(to, func(f *os.File) error {
			_, err := f.WriteAt(data, offset)
			return err
		})
	}
	c.dedupe(c.at(other), offset, min(n, mib), name, offset)
}
