//go:build integration && !386 && !arm

// go-fuse does not compile on 32-bit machines (v2.12).

package outside

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// A file that cannot be read to its end, as on a failing disk, is in the incomplete backup as it was in the last one.
// Without one it is there in part, and the notice says so.
func TestAFileThatIsReadInPart(t *testing.T) {
	t.Parallel()
	before, after := strings.Repeat("before ", 100_000), strings.Repeat("after ", 150_000)
	files := []oddFile{
		{name: "bad [*]\n1", ino: 10, links: 1, size: -1, content: before},
		{name: "good", ino: 11, links: 1, size: -1, content: "short"},
	}
	src, dest := mountOdd(t, files...), testdest.New(t, "256M")
	name := files[0].name
	backup(t, 0, src, dest)
	files[0].content, files[0].bad, files[1].content = after, 500_000, "a little longer"
	for range 2 {
		r := backup(t, 3, src, dest)
		wantSaid(t, r, "this backup has what the last one has")
		if strings.Contains(r.Stderr, "zeros") {
			t.Error(r.Stderr)
		}
		if got := testdest.Read(t, filepath.Join(newest(t, dest), name)); got != before {
			t.Errorf("%d bytes, equal to those of the source: %v", len(got), got == after)
		}
		if got := testdest.Read(t, filepath.Join(newest(t, dest), "good")); got != files[1].content {
			t.Errorf("good: %q", got)
		}
	}
	other := testdest.New(t, "256M")
	r := backup(t, 3, src, other)
	wantSaid(t, r, "could be read only in part, and this backup has zeros in the place of the rest")
	if strings.Contains(r.Stderr, "what the last one has") {
		t.Error(r.Stderr)
	}
	files[0].bad = 0
	for _, dest := range []string{dest, other} {
		backup(t, 0, src, dest)
		if got := testdest.Read(t, filepath.Join(testdest.CurrentPath(t, dest), name)); got != after {
			t.Errorf("%d bytes, equal to those before: %v", len(got), got == before)
		}
	}
}

// What cannot be read is not said to be gone from the source.
func TestWhatCannotBeReadIsNotGone(t *testing.T) {
	t.Parallel()
	src, disk := newSource(t), loopfs.New(t, "256M")
	dest := filepath.Join(disk, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testdest.Must(t, os.Lchown(dest, 65534, 65534))
	testdest.Must(t, os.Chmod(filepath.Dir(src), 0o755))
	testdest.Must(t, os.Chmod(filepath.Dir(filepath.Dir(src)), 0o755))
	for n := range 300 {
		testdest.Write(t, filepath.Join(src, "closed", fmt.Sprint(n)), "x")
	}
	testdest.Write(t, filepath.Join(src, "file"), "x")
	testdest.Tool(t, "chown", "-R", "65534:65534", src)
	for _, args := range [][]string{{"init", dest}, {"backup", src, dest}} {
		if r := through(t, nobody, args...); r.Exit != 0 {
			t.Fatal(r.Stderr)
		}
	}
	testdest.Must(t, os.Chmod(filepath.Join(src, "closed"), 0))
	r := through(t, nobody, "backup", src, dest)
	if r.Exit != 3 || strings.Contains(r.Stderr, "gone from SRC") {
		t.Errorf("exit %d\n%s", r.Exit, r.Stderr)
	}
}
