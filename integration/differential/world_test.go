//go:build integration

package differential

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fewEntries  = 60
	manyEntries = 160
	// maxRel bounds paths below the source: source and backup must be reachable by a plain path. What lies deeper is in
	// deep_test.go.
	maxRel  = 3000
	maxSize = 200 << 10
)

// A world is the source tree and the dice.
type world struct {
	root  string
	rng   *rand.Rand
	born  time.Time // real time; what bears a later one gets a drawn time in settle
	ticks int64     // makes every drawn time another one
	names int
	log   []string // what was done, for the one who has to find out why
}

// An entry is one name of the tree.
type entry struct {
	rel  string
	stat unix.Stat_t
}

func (e entry) kind() uint32    { return e.stat.Mode & unix.S_IFMT }
func (e entry) isDir() bool     { return e.kind() == unix.S_IFDIR }
func (e entry) isFile() bool    { return e.kind() == unix.S_IFREG }
func (e entry) isSymlink() bool { return e.kind() == unix.S_IFLNK }
func (e entry) isRoot() bool    { return e.rel == "." }
func (e entry) linked() bool    { return !e.isDir() && e.stat.Nlink > 1 }

func newWorld(root string, seed uint64) *world {
	return &world{root: root, rng: rand.New(rand.NewPCG(seed, 1)), born: time.Now().Add(-time.Minute)}
}

func (w *world) path(rel string) string { return filepath.Join(w.root, rel) }

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// change draws and makes n changes.
func (w *world) change(n int) error {
	for range n {
		if err := w.changeOnce(); err != nil {
			return fmt.Errorf("%w; the last changes were:\n%s", err, w.history())
		}
	}
	return w.settle()
}

func (w *world) history() string {
	return "  " + squeeze(strings.Join(w.log[max(0, len(w.log)-40):], "\n  ")) + "\n"
}

// squeeze shortens runs of one letter: most of the long names are such.
func squeeze(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		run := len(text[i:]) - len(strings.TrimLeft(text[i:], text[i:i+1]))
		if text[i] >= 'a' && text[i] <= 'z' && run > 4 {
			fmt.Fprintf(&b, "%c{%d}", text[i], run)
			i += run
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

func (w *world) changeOnce() error {
	entries, err := w.entries()
	if err != nil {
		return err
	}
	c := w.draw(len(entries))
	err = c.do(w, entries)
	if errors.Is(err, errNothingFits) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// ENOSPC: the attributes of one ext4 inode are limited to a block.
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// draw prefers to make in a small tree and to remove in a big one.
func (w *world) draw(size int) change {
	for {
		c := drawWeighted(w.rng, changes())
		switch {
		case c.grows && size > manyEntries, c.shrinks && size < fewEntries:
		default:
			return c
		}
	}
}

func drawWeighted(rng *rand.Rand, table []change) change {
	total := 0
	for _, c := range table {
		total += c.weight
	}
	at := rng.IntN(total)
	for _, c := range table {
		if at -= c.weight; at < 0 {
			return c
		}
	}
	return table[0]
}

// entries lists the tree in an order that depends on nothing but the names.
func (w *world) entries() ([]entry, error) {
	var list []entry
	var walk func(rel string) error
	walk = func(rel string) error {
		e := entry{rel: rel}
		if err := unix.Lstat(w.path(rel), &e.stat); err != nil {
			return &fs.PathError{Op: "lstat", Path: w.path(rel), Err: err}
		}
		list = append(list, e)
		if !e.isDir() {
			return nil
		}
		names, err := readNames(w.path(rel))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := walk(filepath.Join(rel, name)); err != nil {
				return err
			}
		}
		return nil
	}
	return list, walk(".")
}

// settle gives a drawn time to all that was touched since the world was born: what kernel and clock put there would be
// another one in every run.
func (w *world) settle() error {
	entries, err := w.entries()
	if err != nil {
		return err
	}
	now := time.Now().Add(time.Minute)
	for _, e := range entries {
		if t := time.Unix(e.stat.Mtim.Unix()); t.After(w.born) && t.Before(now) {
			if err := w.setTime(e.rel, w.drawTime()); err != nil {
				return err
			}
		}
	}
	return nil
}

var errNothingFits = errors.New("nothing in the tree fits")

// pick draws one entry that fits.
func (w *world) pick(entries []entry, fits ...func(entry) bool) (entry, error) {
	var found []entry
next:
	for _, e := range entries {
		for _, f := range fits {
			if !f(e) {
				continue next
			}
		}
		found = append(found, e)
	}
	if len(found) == 0 {
		return entry{}, errNothingFits
	}
	return found[w.rng.IntN(len(found))], nil
}

func notRoot(e entry) bool { return !e.isRoot() }
func notDir(e entry) bool  { return !e.isDir() }
func hasData(e entry) bool { return e.isFile() && e.stat.Size > 0 }

// free draws a path that does not exist, in a directory that does.
func (w *world) free(entries []entry) (string, error) {
	dir, err := w.pick(entries, entry.isDir)
	if err != nil {
		return "", err
	}
	return w.freeIn(dir.rel)
}

func (w *world) freeIn(dir string) (string, error) {
	for range 20 {
		rel := filepath.Join(dir, w.name())
		if len(rel) > maxRel {
			return "", errNothingFits
		}
		if _, err := os.Lstat(w.path(rel)); errors.Is(err, fs.ErrNotExist) {
			return rel, nil
		}
	}
	return "", errNothingFits
}

// oddNames have tripped some program: rsync's options, filters, escapes and temporary names, the names this program
// uses itself, bytes that are no UTF-8.
func oddNames() []string {
	return []string{
		"cur", "pending", ".log", ".rsbtbackup-", "2026-11-23-09:00", "-n", "--exclude=x", "a:b", " ", "  x ", "*", "[a]", "?", `\`,
		`\#012`, "\n", "a\nb", "\x1b[31m", "\xff\xfe", "\xc3\x28", "é", "e\u0301", "~", ".~tmp~", ".x.AbC123", ".rsync-filter", ".cvsignore", "$(x)", "'", `"`, "\t", "\r", "\x7f",
	}
}

func (w *world) name() string {
	w.names++
	switch w.rng.IntN(10) {
	case 0:
		odd := oddNames()
		return odd[w.rng.IntN(len(odd))]
	case 1:
		return strings.Repeat(string(rune('a'+w.rng.IntN(26))), 255-8) + fmt.Sprintf("%08d", w.names)
	case 2:
		b := make([]byte, 1+w.rng.IntN(20))
		for i := range b {
			if b[i] = byte(1 + w.rng.IntN(255)); b[i] == '/' {
				b[i] = '\\'
			}
		}
		return "r" + string(b)
	}
	return fmt.Sprintf("n%d", w.names)
}

// drawTime draws a time that no entry had before. Copies tell a changed file by size and time, so two contents of one
// size must never share a time.
func (w *world) drawTime() unix.Timespec {
	var sec int64
	switch w.rng.IntN(12) {
	case 0:
		sec = -w.rng.Int64N(1 << 31) // before 1970; ext4 begins in 1901
	case 1:
		sec = 1<<32 + w.rng.Int64N(1<<33) // beyond 2106; ext4 ends in 2446
	case 2:
		sec = w.rng.Int64N(3) - 1
	default:
		sec = 1_600_000_000 + w.rng.Int64N(100_000_000)
	}
	ts, err := unix.TimeToTimespec(time.Unix(sec, w.nano()))
	if err != nil { // a 32-bit time_t ends in 2038
		return unix.NsecToTimespec(w.nano())
	}
	return ts
}

// nextTime is for an edit of e; half of them fall into the second of the last one.
func (w *world) nextTime(e entry) unix.Timespec {
	if w.rng.IntN(2) == 0 {
		ts := unix.NsecToTimespec(w.nano())
		ts.Sec = e.stat.Mtim.Sec
		return ts
	}
	return w.drawTime()
}

func (w *world) nano() int64 {
	w.ticks++
	return w.ticks % 1_000_000 * 1000
}

func (w *world) setTime(rel string, t unix.Timespec) error {
	err := unix.UtimesNanoAt(unix.AT_FDCWD, w.path(rel), []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
	return pathError("utimensat", w.path(rel), err)
}

// content draws data: noise, or few different bytes, or runs of zeros between noise.
func (w *world) content(size int) []byte {
	data := make([]byte, size)
	style := w.rng.IntN(4)
	for i := 0; i < size; {
		run := min(1+w.rng.IntN(8<<10), size-i)
		switch {
		case style == 0 && w.rng.IntN(2) == 0: // zeros
		case style == 1:
			b := byte(w.rng.IntN(3))
			for j := range run {
				data[i+j] = b
			}
		default:
			for j := range run {
				data[i+j] = byte(w.rng.Uint32())
			}
		}
		i += run
	}
	return data
}

// size draws a file size: often tiny, sometimes at the edge of a block, seldom large.
func (w *world) size() int {
	switch w.rng.IntN(8) {
	case 0:
		return w.rng.IntN(2)
	case 1:
		return 4096*(1+w.rng.IntN(4)) + w.rng.IntN(3) - 1
	case 2:
		return w.rng.IntN(maxSize)
	case 3:
		return w.rng.IntN(32 << 10)
	}
	return w.rng.IntN(4 << 10)
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
