//go:build integration

package blocks

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data) // it never fails
	return data
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0o600)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// pieceAt is what the tree says of a file at an offset, and the generation before it was asked.
func pieceAt(t *testing.T, path string, offset, since uint64) placed {
	t.Helper()
	f := openFile(t, path, os.O_RDONLY)
	must(t, btrfs.WriteOut(f))
	all, err := extents(f, since)
	must(t, err)
	for _, p := range all {
		if p.offset == offset {
			return p
		}
	}
	t.Fatalf("%s has nothing at %d: %+v", path, offset, all)
	return placed{}
}

// generationOf is that of the subvolume, all that there is written out.
func generationOf(t *testing.T, mount string) uint64 {
	t.Helper()
	dir, err := btrfs.OpenDir(mount)
	must(t, err)
	defer dir.Close()
	must(t, btrfs.Sync(dir))
	info, err := btrfs.SubvolumeInfo(dir)
	must(t, err)
	return info.Generation
}

// TestACloneIsAsOldAsItsOrigin shows what a search for what is new must not go by.
func TestACloneIsAsOldAsItsOrigin(t *testing.T) {
	mount := loopfs.New(t, "256M")
	a, b := mount+"/a", mount+"/b"
	must(t, errors.Join(os.WriteFile(a, noise(1<<20), 0o600), os.WriteFile(b, noise(1<<20), 0o600)))
	since := generationOf(t, mount)
	from, to := openFile(t, a, os.O_RDONLY), openFile(t, b, os.O_RDWR)
	must(t, unix.IoctlFileCloneRange(int(to.Fd()), &unix.FileCloneRange{Src_fd: int64(from.Fd()), Src_offset: 65536, Src_length: 65536, Dest_offset: 131072}))
	p := pieceAt(t, b, 131072, since)
	if p.generation > since || p.settled || p.place != pieceAt(t, a, 0, since).place+65536 {
		t.Errorf("%+v", p)
	}
	if born, known := bornAt(to, p.address); !known || born > since {
		t.Errorf("born in %d, %v", born, known)
	}
	must(t, unix.Fallocate(int(to.Fd()), 0, 4<<20, 65536))
	_, err := to.WriteAt(bytes.Repeat([]byte("x"), 5000), 8<<20)
	must(t, err)
	if p := pieceAt(t, b, 8<<20, since); p.length != 8192 || p.generation <= since {
		t.Errorf("new: %+v", p)
	}
	all, err := extents(to, since)
	must(t, err)
	for _, p := range all {
		if p.offset == 4<<20 {
			t.Errorf("what is set aside is data: %+v", p)
		}
	}
	if _, known := bornAt(to, 4096); known {
		t.Error("born where nothing lies")
	}
}

// TestABalanceMovesExtents: a piece keeps its generation, at another address. That the extent is new there is told.
func TestABalanceMovesExtents(t *testing.T) {
	mount := loopfs.New(t, "512M")
	a := mount + "/a"
	must(t, os.WriteFile(a, noise(1<<20), 0o600))
	since := generationOf(t, mount)
	before := pieceAt(t, a, 0, since)
	if out, err := exec.Command("btrfs", "balance", "start", "-d", mount).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	after := pieceAt(t, a, 0, since)
	if after.generation != before.generation || after.address == before.address || after.settled {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if born, known := bornAt(openFile(t, a, os.O_RDONLY), after.address); !known || born <= since {
		t.Errorf("moved after %d, born in %d", since, born)
	}
}

// An extent that many use has a large item.
func TestAnExtentWithManyUsers(t *testing.T) {
	mount := loopfs.New(t, "256M")
	must(t, os.WriteFile(mount+"/a", noise(65536), 0o600))
	from := openFile(t, mount+"/a", os.O_RDONLY)
	for i := range 60 {
		to := openFile(t, fmt.Sprintf("%s/to%d", mount, i), os.O_RDWR|os.O_CREATE)
		must(t, btrfs.CloneFile(to, from))
	}
	generationOf(t, mount)
	p := pieceAt(t, mount+"/a", 0, 0)
	if born, known := bornAt(from, p.address); !known || born != p.generation {
		t.Errorf("born in %d, written in %d", born, p.generation)
	}
}

// What is stored in metadata lies nowhere.
func TestDataWithoutAnAddress(t *testing.T) {
	mount := loopfs.New(t, "256M")
	must(t, os.WriteFile(mount+"/small", noise(1000), 0o600))
	f := openFile(t, mount+"/small", os.O_RDONLY)
	must(t, btrfs.WriteOut(f))
	if _, err := extents(f, 0); !errors.Is(err, errUntold) {
		t.Error(err)
	}
}

// What is compressed lies in an extent as a whole.
func TestWhatIsCompressed(t *testing.T) {
	mount := loopfs.New(t, "256M", "compress-force=zstd")
	must(t, os.WriteFile(mount+"/f", bytes.Repeat([]byte("compressed "), 1<<20), 0o600))
	first, second := pieceAt(t, mount+"/f", 0, 0), pieceAt(t, mount+"/f", 128<<10, 0)
	if !first.encoded || first.place != first.address || first.length != 128<<10 || second.place == first.place || second.from != 0 {
		t.Errorf("%+v %+v", first, second)
	}
	f := openFile(t, mount+"/f", os.O_RDWR)
	_, err := f.WriteAt(noise(4096), 4096)
	must(t, err)
	if p := pieceAt(t, mount+"/f", 8192, 0); !p.encoded || p.place != first.place || p.from != 8192 {
		t.Errorf("%+v", p)
	}
}

// TestIsStill: a file that lies elsewhere, or is another one, is not what it was.
func TestIsStill(t *testing.T) {
	mount := loopfs.New(t, "256M")
	must(t, os.WriteFile(mount+"/f", noise(1<<20), 0o600))
	root := openFile(t, mount, os.O_RDONLY)
	entry := func() catalog.Entry {
		var st unix.Stat_t
		must(t, unix.Stat(mount+"/f", &st))
		at := func(ts unix.Timespec) catalog.Time { return catalog.Time{Sec: int64(ts.Sec), Nsec: uint32(ts.Nsec)} }
		return catalog.Entry{Inode: st.Ino, Size: uint64(st.Size), Mode: st.Mode, Links: 1, Modify: at(st.Mtim), Change: at(st.Ctim)}
	}
	look := func() noted {
		m := met{path: "f", now: entry()}
		f, _, err := open(root, m)
		must(t, err)
		defer f.Close()
		all, err := extents(f, 0)
		must(t, err)
		pieces, err := encode(plain(all))
		must(t, err)
		return noted{m, file{1, pieces}}
	}
	want := func(n noted, want bool) {
		t.Helper()
		if same, err := isStill(root, n); same != want || err != nil {
			t.Errorf("%v, %v", same, err)
		}
	}
	n := look()
	want(n, true)
	must(t, os.Chmod(mount+"/f", 0o640))
	want(n, false)
	n = look()
	f := openFile(t, mount+"/f", os.O_RDWR)
	_, err := f.WriteAt(noise(100), 5000)
	must(t, err)
	want(n, false)
	elsewhere := noted{met{path: "f", now: entry()}, n.file} // all is as it was but where it lies
	want(elsewhere, false)
	want(look(), true)
}
