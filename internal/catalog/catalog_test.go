package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// oddDirs have in them what a filesystem can hold and a format can get wrong.
func oddDirs() []Dir {
	file := func(name string, change Time) Entry {
		return Entry{Name: name, FS: "ef53-1", Inode: 12, Birth: change, Change: change, Modify: change, Size: 1, Mode: unix.S_IFREG | 0o644, Links: 1}
	}
	dir := func(name string) Entry {
		e := file(name, Time{1e9, 5})
		e.Mode = unix.S_IFDIR | 0o755
		return e
	}
	odd := file("with everything", Time{1e9, 999999999})
	odd.FS, odd.Inode, odd.Size, odd.Links = "9123683e-2", math.MaxUint64, math.MaxUint64, math.MaxUint32
	odd.Birth, odd.Modify = Time{-1, 1}, Time{1e9, 0}
	odd.UID, odd.GID, odd.Mode = math.MaxUint32, math.MaxUint32, unix.S_IFREG|0o7777
	node := file("zz node", Time{1e9, 1})
	node.Mode, node.Device, node.Birth = unix.S_IFBLK, math.MaxUint64, Time{}
	link := file("zzz link", Time{1e9, 0})
	link.Mode, link.Target = unix.S_IFLNK|0o777, math.MaxUint64
	closed := dir("mount")
	closed.Closed = true
	return []Dir{
		{Path: ".", Entries: []Entry{
			file("\x01\n", Time{-62135596800, 1}), // of the year 1
			file("#x", Time{0, 0}), file("-n", Time{4294967296, 1}), file(";y", Time{math.MaxInt64, 999999999}), file(";z", Time{math.MinInt64, 0}),
			dir("a"), dir("b"), closed, file(strings.Repeat("n", 255), Time{1, 1}), dir("nothing"), odd, node, link,
		}},
		{Path: "a", Entries: []Entry{dir("b")}},
		{Path: "a/b", Unread: true},
		{Path: "b", Entries: []Entry{file("b", Time{1, 1})}},
		{Path: "nothing"},
	}
}

func testHeader() Header {
	top := Entry{Name: ".", FS: "ef53-1", Inode: 2, Mode: unix.S_IFDIR | 0o700, Change: Time{1e9, 7}, Links: 3}
	return Header{Source: "/src", Rules: []string{"--exclude=x", ""}, Started: Time{1e9 + 10, 3}, Root: top, Parent: top}
}

func encode(t testing.TB, dirs []Dir, unsettled ...Unsettled) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, testHeader(), nil)
	addAll(t, w, dirs)
	sum, err := w.Finish(unsettled, []byte("extra"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(buf.Bytes(), sum) {
		t.Error("the checksum is not the end")
	}
	return buf.Bytes()
}

// selves are the entries of directories, by path.
func selves(dirs []Dir) map[string]Entry {
	all := map[string]Entry{".": testHeader().Root}
	for _, d := range dirs {
		for _, e := range d.Entries {
			all[Join(d.Path, e.Name)] = e
		}
	}
	return all
}

func addAll(t testing.TB, w *Writer, dirs []Dir) {
	t.Helper()
	self := selves(dirs)
	for _, d := range dirs {
		e := self[d.Path]
		if err := w.Add(listingOf(d, e.Base())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCatalogRoundTrip(t *testing.T) {
	data := encode(t, oddDirs(), Unsettled{Path: ".", Deep: true}, Unsettled{Path: "a\nb"})
	r, err := NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testHeader(), r.Header); diff != "" {
		t.Errorf("header: %s", diff)
	}
	if diff := cmp.Diff(map[string]Unsettled{".": {".", true}, "a\nb": {"a\nb", false}}, r.Unsettled); diff != "" {
		t.Errorf("unsettled: %s", diff)
	}
	if diff := cmp.Diff(oddDirs(), readAll(t, r)); diff != "" {
		t.Errorf("directories: %s", diff)
	}
	if string(r.Extra) != "extra" {
		t.Errorf("extra: %q", r.Extra)
	}
}

// A table of owners that is full must not confuse reading and writing.
func TestCatalogWithManyOwners(t *testing.T) {
	d := Dir{Path: "."}
	for i := range maxOwners + 100 {
		name := string([]byte{byte('a' + i>>12), byte('a' + i>>8&15), byte('a' + i>>4&15), byte('a' + i&15)})
		d.Entries = append(d.Entries, Entry{Name: name, UID: uint32(i % (maxOwners + 50)), Mode: unix.S_IFREG, Links: 1})
	}
	data := encode(t, []Dir{d})
	r, err := NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Dir{d}, readAll(t, r)); diff != "" {
		t.Error(diff)
	}
}

func readWhole(data []byte) error {
	r, err := NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	for {
		if _, err := r.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// TestTornCatalog cuts a catalog everywhere and flips every bit of it: each must be noticed.
func TestTornCatalog(t *testing.T) {
	data := encode(t, oddDirs(), Unsettled{Path: "a"})
	if err := readWhole(data); err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := readWhole(data[:n]); !errors.Is(err, ErrUnusable) {
			t.Fatalf("cut off after %d bytes of %d: %v", n, len(data), err)
		}
		for bit := range 8 {
			broken := bytes.Clone(data)
			broken[n] ^= 1 << bit
			if err := readWhole(broken); !errors.Is(err, ErrUnusable) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, n, err)
			}
		}
	}
	if err := readWhole(append(bytes.Clone(data), 0)); !errors.Is(err, ErrUnusable) {
		t.Errorf("one byte more: %v", err)
	}
}

// TestHostileCatalog has catalogs whose checksum is right.
func TestHostileCatalog(t *testing.T) {
	entry := Entry{Name: "a", Mode: unix.S_IFREG, Links: 1}
	sub := Entry{Name: "d", Mode: unix.S_IFDIR, Links: 1}
	named := func(names ...string) []Dir {
		d := Dir{Path: "."}
		for _, name := range names {
			e := entry
			e.Name = name
			d.Entries = append(d.Entries, e)
		}
		return []Dir{d}
	}
	closed := entry
	closed.Closed = true
	for name, dirs := range map[string][]Dir{
		"dot dot":             named(".."),
		"dot":                 named("."),
		"no name":             named(""),
		"slash":               named("a/b"),
		"leads out":           named("../x"),
		"NUL":                 named("a\x00b"),
		"too long":            named(strings.Repeat("x", 256)),
		"twice":               named("a", "a"),
		"not in order":        named("b", "a"),
		"directory missing":   {{Path: ".", Entries: []Entry{sub}}},
		"directory too many":  {{Path: "."}, {Path: "x"}},
		"nothing at all":      {},
		"closed file":         {{Path: ".", Entries: []Entry{closed}}},
		"path beyond the end": deepDirs(17),
	} {
		if err := readWhole(encode(t, dirs)); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"future version": func(b []byte) []byte { b[len(magic)] = version + 1; return b },
		"other magic":    func(b []byte) []byte { b[0] = 'R'; return b },
		"end before it begins": func(b []byte) []byte {
			binary.BigEndian.PutUint64(b[len(b)-footerSize:], 0)
			return b
		},
		"end beyond": func(b []byte) []byte {
			binary.BigEndian.PutUint64(b[len(b)-footerSize:], math.MaxUint64)
			return b
		},
		"a directory of 2^60": func(b []byte) []byte {
			at := bytes.LastIndexByte(b[:len(b)-footerSize-2], tagDir) // the only directory, empty
			head := binary.AppendUvarint(append(bytes.Clone(b[:at]), tagDir), 1<<60)
			return append(head, b[at+2:]...)
		},
	} {
		data := change(encode(t, []Dir{{Path: "."}}))
		sum := sha256.Sum256(data[:len(data)-sumSize])
		copy(data[len(data)-sumSize:], sum[:])
		if err := readWhole(data); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func deepDirs(levels int) []Dir {
	var dirs []Dir
	path, name := ".", strings.Repeat("d", 255)
	for range levels {
		dirs = append(dirs, Dir{Path: path, Entries: []Entry{{Name: name, Mode: unix.S_IFDIR}}})
		path = Join(path, name)
	}
	return append(dirs, Dir{Path: path})
}

func FuzzCatalog(f *testing.F) {
	f.Add(encode(f, oddDirs(), Unsettled{Path: "a", Deep: true}))
	f.Add(encode(f, []Dir{{Path: "."}}))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The checksum is made right, so that the rest is read.
		if len(data) > sumSize {
			sum := sha256.Sum256(data[:len(data)-sumSize])
			data = append(bytes.Clone(data[:len(data)-sumSize]), sum[:]...)
		}
		r, err := NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		before := ""
		for d, err := r.Next(); err == nil; d, err = r.Next() {
			if before != "" && ComparePaths(before, d.Path) >= 0 {
				t.Fatalf("%q after %q", d.Path, before)
			}
			before = d.Path
			for _, e := range d.Entries {
				if path := Join(d.Path, e.Name); filepath.Clean(path) != path || !filepath.IsLocal(path) {
					t.Fatalf("path %q", path)
				}
			}
		}
	})
}

// openCatalog is a catalog in a file, of which only the end is missing.
func openCatalog(t *testing.T) (*os.File, *Writer) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "catalog"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	w := NewWriter(file, testHeader(), nil)
	addAll(t, w, oddDirs())
	return file, w
}

func TestUnfinishedCatalog(t *testing.T) {
	file, w := openCatalog(t)
	size, err := w.Flush()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ReadUnfinished(file, size)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(oddDirs(), readAll(t, r)); diff != "" {
		t.Error(diff)
	}
}

// Another end replaces the first one, whichever is longer.
func TestAnotherEnd(t *testing.T) {
	ends := [][]Unsettled{{}, {{Path: "a"}, {Path: strings.Repeat("b", 5000), Deep: true}}, {{Path: "c"}}}
	file, w := openCatalog(t)
	for i, end := range ends {
		size, err := w.Flush()
		if err != nil {
			t.Fatal(err)
		}
		_, seekErr := file.Seek(int64(size), io.SeekStart)
		if err := errors.Join(seekErr, file.Truncate(int64(size))); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Finish(end, []byte("extra")); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if want := encode(t, oddDirs(), end...); !bytes.Equal(data, want) {
			t.Errorf("end %d: it differs from that of a catalog with this end alone", i)
		}
	}
}

func TestHeaderFits(t *testing.T) {
	h := Header{Source: "/src", Rules: []string{"a", "b"}}
	for _, tt := range []struct {
		source string
		rules  []string
		fits   bool
	}{
		{"/src", []string{"a", "b"}, true}, {"/other", []string{"a", "b"}, false}, {"/src", []string{"b", "a"}, false}, {"/src", []string{"a"}, false}, {"/src", nil, false},
	} {
		if err := h.Fits(tt.source, tt.rules); (err == nil) != tt.fits {
			t.Errorf("%q %q: %v", tt.source, tt.rules, err)
		}
	}
}

func readAll(t testing.TB, r *Reader) []Dir {
	t.Helper()
	var dirs []Dir
	for {
		d, err := r.Next()
		if err == io.EOF {
			return dirs
		}
		if err != nil {
			t.Fatal(err)
		}
		d.Entries = append([]Entry(nil), d.Entries...) // the next one overwrites them
		dirs = append(dirs, d)
	}
}

// listingOf codes a directory with known entries.
func listingOf(d Dir, self Base) Listing {
	if d.Unread {
		return Listing{Path: d.Path, Unread: true}
	}
	var c Coder
	c.Begin(self)
	for i := range d.Entries {
		c.Add(&d.Entries[i])
	}
	return c.End(d.Path)
}
