//go:build integration

package differential

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

const (
	mib       = 1 << 20
	sparseLen = 96 * mib
)

// sparseCases: a file of holes must take no more room in the backup than at the source, whenever the holes came.
var sparseCases = []struct {
	name          string
	before, after func(t *testing.T, source string)
}{
	{"in the first backup", makeHoles, nothing},
	{"in a new file", makeOther, makeHoles},
	{"in a new file with some data", makeOther, makeIslands},
	{"in a file that grew", func(t *testing.T, source string) { truncateTo(t, source, mib) }, func(t *testing.T, source string) { truncateTo(t, source, sparseLen) }},
	{"in a file that had data there", makeData, makeHoles},
}

func TestHolesTakeNoSpace(t *testing.T) {
	mount := loopfs.New(t, "8G")
	for i, c := range sparseCases {
		for j, m := range modes()[:2] {
			t.Run(c.name+"/"+m.name, func(t *testing.T) {
				base := filepath.Join(mount, fmt.Sprintf("%d-%d", i, j))
				source, dest := filepath.Join(base, "source"), filepath.Join(base, "dest")
				if err := os.MkdirAll(source, 0o755); err != nil {
					t.Fatal(err)
				}
				newDest(t, dest)
				c.before(t, source)
				backUpAndCompare(t, m, source, dest, 1)
				c.after(t, source)
				backup := backUpAndCompare(t, m, source, dest, 2)
				want, got := allocated(t, filepath.Join(source, "sparse")), allocated(t, filepath.Join(backup, "sparse"))
				if got > want+64<<10 {
					t.Errorf("%d KiB are allocated at the source, %d KiB in the backup", want>>10, got>>10)
				}
			})
		}
	}
}

// A block of 4 KiB that changes in a file of 1 GiB adds less than 100 KB, be the file full or sparse. The full one is
// smaller in a normal run: nothing in it depends on the size but the time.
func TestSmallChangeInBigFile(t *testing.T) {
	full := int64(256)
	if fromEnv(t, "SOAK_ROUNDS") > 0 {
		full = 1024
	}
	mount := loopfs.New(t, "8G")
	for i, c := range []struct {
		name    string
		size    int64 // MiB
		islands int64 // MiB of noise, evenly spread
	}{
		{"sparse", 1024, 32},
		{"full", full, full},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := filepath.Join(mount, fmt.Sprint(i))
			source, dest := filepath.Join(base, "source"), filepath.Join(base, "dest")
			if err := os.MkdirAll(source, 0o755); err != nil {
				t.Fatal(err)
			}
			newDest(t, dest)
			truncateTo(t, source, c.size*mib)
			for k := range c.islands {
				overwrite(t, source, k*(c.size/c.islands)*mib, mib)
			}
			backUp(t, source, dest, 1)
			overwrite(t, source, c.size/3*mib+12345, 4096)
			backup := backUp(t, source, dest, 2)
			sameContent(t, filepath.Join(source, "sparse"), filepath.Join(backup, "sparse"))
			if added := exclusive(t, backup); added >= 100_000 {
				t.Errorf("4 KiB changed, and the backup has %d bytes of its own", added)
			} else {
				t.Logf("4 KiB changed, and the backup has %d bytes of its own", added)
			}
		})
	}
}

func nothing(*testing.T, string) {}

func makeHoles(t *testing.T, source string) {
	if err := os.RemoveAll(filepath.Join(source, "sparse")); err != nil {
		t.Fatal(err)
	}
	truncateTo(t, source, sparseLen)
}

func makeOther(t *testing.T, source string) {
	if err := os.WriteFile(filepath.Join(source, "other"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func makeIslands(t *testing.T, source string) {
	makeHoles(t, source)
	for at := int64(0); at < sparseLen; at += 16 * mib {
		overwrite(t, source, at+mib/2, 5000)
	}
}

func makeData(t *testing.T, source string) {
	truncateTo(t, source, sparseLen)
	overwrite(t, source, 8*mib, 16*mib)
}

func truncateTo(t *testing.T, source string, size int64) {
	t.Helper()
	f := openSparse(t, source)
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// overwrite puts noise into the file.
func overwrite(t *testing.T, source string, at, size int64) {
	t.Helper()
	f := openSparse(t, source)
	defer f.Close()
	data := make([]byte, size)
	rand.Read(data)
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

func openSparse(t *testing.T, source string) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(source, "sparse"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// allocated asks after a sync: until then btrfs counts what it has not allocated yet.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// exclusive returns the bytes of file data that only this backup refers to. The subvolume it was a snapshot of refers
// to them too, until the kernel has taken it apart.
func exclusive(t *testing.T, path string) int64 {
	t.Helper()
	for _, args := range [][]string{{"filesystem", "sync", path}, {"subvolume", "sync", filepath.Dir(path)}, {"filesystem", "sync", path}} {
		if out, err := exec.Command("btrfs", args...).CombinedOutput(); err != nil {
			t.Fatalf("btrfs %q: %v: %s", args, err, out)
		}
	}
	out, err := exec.Command("btrfs", "filesystem", "du", "--summarize", "--raw", "--", path).CombinedOutput()
	if err != nil {
		t.Fatalf("btrfs filesystem du: %v: %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var total, own int64
	if _, err := fmt.Sscan(lines[len(lines)-1], &total, &own); err != nil {
		t.Fatalf("btrfs filesystem du says %q: %v", out, err)
	}
	return own
}

func sameContent(t *testing.T, a, b string) {
	t.Helper()
	if out, err := exec.Command("cmp", "--", a, b).CombinedOutput(); err != nil {
		t.Errorf("cmp: %v: %s", err, out)
	}
}
