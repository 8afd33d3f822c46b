//go:build integration

package differential

import (
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// createSparse makes a file of holes with a little data in it.
func createSparse(w *world, entries []entry) error {
	rel, err := w.free(entries)
	if err != nil {
		return err
	}
	size := int64(w.rng.IntN(1 << 20))
	w.note("create sparse %q, %d bytes", rel, size)
	f, err := os.Create(w.path(rel))
	if err != nil {
		return err
	}
	defer f.Close()
	for range w.rng.IntN(3) {
		if _, err := f.WriteAt(w.content(w.rng.IntN(8<<10)), w.rng.Int64N(size+1)); err != nil {
			return err
		}
	}
	if err := f.Truncate(size); err != nil {
		return err
	}
	return w.setTime(rel, w.drawTime())
}

// edit overwrites some bytes; the size stays.
func edit(w *world, entries []entry) error {
	e, err := w.pick(entries, hasData)
	if err != nil {
		return err
	}
	return w.editFile(e)
}

func (w *world) editFile(e entry) error {
	f, err := os.OpenFile(w.path(e.rel), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for range 1 + w.rng.IntN(3) {
		at := w.rng.Int64N(e.stat.Size)
		data := w.content(1 + w.rng.IntN(6<<10))
		data = data[:min(int64(len(data)), e.stat.Size-at)]
		w.note("edit %q at %d, %d bytes", e.rel, at, len(data))
		if _, err := f.WriteAt(data, at); err != nil {
			return err
		}
	}
	return w.setTime(e.rel, w.nextTime(e))
}

func appendData(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile)
	if err != nil {
		return err
	}
	if e.stat.Size > 2*maxSize {
		return errNothingFits
	}
	f, err := os.OpenFile(w.path(e.rel), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	data := w.content(w.size())
	w.note("append to %q, %d bytes", e.rel, len(data))
	if _, err := f.WriteAt(data, e.stat.Size); err != nil {
		return err
	}
	return w.setTime(e.rel, w.nextTime(e))
}

// truncate cuts a file, or makes it longer by a hole.
func truncate(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile)
	if err != nil {
		return err
	}
	size := w.rng.Int64N(e.stat.Size + 1)
	if w.rng.IntN(3) == 0 && e.stat.Size < 1<<20 {
		size = e.stat.Size + w.rng.Int64N(64<<10)
	}
	w.note("truncate %q to %d", e.rel, size)
	if err := os.Truncate(w.path(e.rel), size); err != nil {
		return err
	}
	return w.setTime(e.rel, w.nextTime(e))
}

func punchHole(w *world, entries []entry) error {
	e, err := w.pick(entries, hasData)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.path(e.rel), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	at := w.rng.Int64N(e.stat.Size)
	size := 1 + w.rng.Int64N(e.stat.Size-at)
	w.note("punch hole into %q at %d, %d bytes", e.rel, at, size)
	if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, size); err != nil {
		return pathError("fallocate", e.rel, err)
	}
	return w.setTime(e.rel, w.nextTime(e))
}

// shift moves content within the file: rsync then finds its old blocks at other places, and in place it may have
// overwritten them already.
func shift(w *world, entries []entry) error {
	e, err := w.pick(entries, hasData)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(w.path(e.rel))
	if err != nil {
		return err
	}
	switch at := w.rng.IntN(len(data)); w.rng.IntN(4) {
	case 0:
		data = slices.Insert(data, at, w.content(1+w.rng.IntN(2000))...)
	case 1:
		data = slices.Delete(data, at, min(len(data), at+1+w.rng.IntN(2000)))
	case 2:
		data = slices.Concat(data[at:], data[:at])
	case 3:
		block := 700 + w.rng.IntN(4000)
		var blocks [][]byte
		for b := range slices.Chunk(data, block) {
			blocks = append(blocks, b)
		}
		w.rng.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		data = slices.Concat(blocks...)
	}
	w.note("shift content of %q", e.rel)
	return w.rewrite(e.rel, data, e)
}

func replaceContent(w *world, entries []entry) error {
	e, err := w.pick(entries, entry.isFile)
	if err != nil {
		return err
	}
	size := w.size()
	if w.rng.IntN(2) == 0 {
		size = int(e.stat.Size)
	}
	w.note("replace content of %q, %d bytes", e.rel, size)
	return w.rewrite(e.rel, w.content(size), e)
}

// rewrite writes data into the inode that is there; e gives the time to follow.
func (w *world) rewrite(rel string, data []byte, e entry) error {
	// Not with O_CREAT: where others may write, fs.protected_regular keeps even root from so opening what is not its
	// own.
	f, err := os.OpenFile(w.path(rel), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return w.setTime(rel, w.nextTime(e))
}

// touch changes the time of anything, and nothing else.
func touch(w *world, entries []entry) error {
	e, err := w.pick(entries)
	if err != nil {
		return err
	}
	w.note("touch %q", e.rel)
	return w.setTime(e.rel, w.nextTime(e))
}
