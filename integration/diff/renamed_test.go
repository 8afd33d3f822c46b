//go:build integration

package diff

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// saved is a source and a DEST it is backed up to.
type saved struct{ src, dest string }

func newSaved(t testing.TB) saved {
	t.Helper()
	s := saved{src: t.TempDir(), dest: filepath.Join(loopfs.New(t, "1G"), "dest")}
	testdest.Must(t, os.Mkdir(s.dest, 0o700))
	testbin.Must(t, "init", "-q", s.dest)
	return s
}

func (s saved) at(elem ...string) string { return filepath.Join(append([]string{s.src}, elem...)...) }

func (s saved) backup(t testing.TB) string {
	t.Helper()
	testbin.Must(t, "backup", "-q", s.src, s.dest)
	name, err := os.Readlink(filepath.Join(s.dest, "cur"))
	testdest.Must(t, err)
	return name
}

// changes makes a backup before and one after change, and tells the difference, found both ways.
func (s saved) changes(t testing.TB, change func()) string {
	t.Helper()
	from := s.backup(t)
	change()
	return show(bothWays(t, s.dest, from, s.backup(t), ""))
}

// rsync makes a new directory from one that was renamed at the source. It is still one rename, and only changes in it
// are reported.
func TestADirectoryRenamedAtTheSource(t *testing.T) {
	t.Parallel()
	s := newSaved(t)
	for i := range 500 {
		testdest.Write(t, s.at("proj", fmt.Sprintf("sub%d", i%7), fmt.Sprintf("file%03d", i)), fmt.Sprintf("content %d", i))
	}
	for i := range 20 { // of one content, name and time
		path := s.at("proj", fmt.Sprintf("package%02d", i), "__init__.py")
		testdest.Write(t, path, "")
		testdest.Must(t, os.Chtimes(path, time.Time{}, time.Unix(1_700_000_000, 0)))
	}
	testdest.Must(t, os.Symlink("file000", s.at("proj", "link")))
	testdest.Must(t, os.Mkdir(s.at("proj", "empty"), 0o755))
	testdest.Must(t, syscall.Mkfifo(s.at("proj", "fifo"), 0o644))
	testdest.Write(t, s.at("proj", "twice"), "twice")
	testdest.Must(t, os.Link(s.at("proj", "twice"), s.at("proj", "twice again")))
	testdest.Write(t, s.at("other", "file"), "of another directory")

	if got, want := s.changes(t, func() { testdest.Must(t, os.Rename(s.at("proj"), s.at("project"))) }), "renamed project from proj\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got := s.changes(t, func() {
		testdest.Must(t, os.Rename(s.at("project"), s.at("other", "p")))
		testdest.Must(t, os.WriteFile(s.at("other", "p", "sub0", "file000"), []byte("changed"), 0o644))
		testdest.Must(t, os.Remove(s.at("other", "p", "sub1", "file001")))
		testdest.Must(t, os.Rename(s.at("other", "p", "sub2", "file002"), s.at("other", "p", "renamed")))
		testdest.Must(t, os.Chmod(s.at("other", "p", "sub3"), 0o700))
		testdest.Write(t, s.at("other", "p", "new"), "new")
	})
	want := "renamed other/p from project\nadded other/p/new\nrenamed other/p/renamed from project/sub2/file002\n" +
		"modified other/p/sub0/file000 from project/sub0/file000 [content mtime]\nmetadata other/p/sub3 from project/sub3 [mode]\nremoved project/sub1/file001\n"
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Two directories change places, one goes into another, and one of which little is left was removed.
func TestDirectoriesRenamedAtTheSource(t *testing.T) {
	t.Parallel()
	s := newSaved(t)
	for _, dir := range []string{"one", "two", "three", "four/deep"} {
		for i := range 10 {
			testdest.Write(t, s.at(dir, fmt.Sprint(i)), dir+fmt.Sprint(i))
		}
	}
	got := s.changes(t, func() {
		testdest.Must(t, os.Rename(s.at("one"), s.at("uno")))
		testdest.Must(t, os.Mkdir(s.at("new"), 0o755))
		testdest.Must(t, os.Rename(s.at("two"), s.at("new", "two")))
		testdest.Must(t, os.Rename(s.at("four"), s.at("vier")))
		testdest.Must(t, os.Rename(s.at("three", "0"), s.at("new", "three0")))
		testdest.Must(t, os.RemoveAll(s.at("three")))
	})
	var want strings.Builder
	want.WriteString("added new\nrenamed new/three0 from three/0\nrenamed new/two from two\nremoved three\n")
	for i := range 9 {
		want.WriteString(fmt.Sprintf("removed three/%d\n", i+1))
	}
	want.WriteString("renamed uno from one\nrenamed vier from four\n")
	if got != want.String() {
		t.Errorf("%s, want %s", got, want.String())
	}
}

// That a file is empty is as good as any other content.
func TestAnEmptyFileThatMoved(t *testing.T) {
	t.Parallel()
	s := newSaved(t)
	testdest.Write(t, s.at("empty"), "")
	testdest.Write(t, s.at("keep"), "x")
	if got, want := s.changes(t, func() { testdest.Must(t, os.Rename(s.at("empty"), s.at("moved"))) }), "renamed moved from empty\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Many files that differ in nothing but their names, all renamed: each is paired, once.
func TestManyEqualFilesRenamed(t *testing.T) {
	t.Parallel()
	const files = 6000
	s := newSaved(t)
	same := time.Unix(1_700_000_000, 0)
	for i := range files {
		path := s.at(fmt.Sprintf("old%05d", i))
		testdest.Write(t, path, "same")
		testdest.Must(t, os.Chtimes(path, same, same))
	}
	for i := range 300 { // names of one file
		testdest.Must(t, os.MkdirAll(s.at("links"), 0o755))
		if i == 0 {
			testdest.Write(t, s.at("links", "000"), "one file")
			continue
		}
		testdest.Must(t, os.Link(s.at("links", "000"), s.at("links", fmt.Sprintf("%03d", i))))
	}
	got := s.changes(t, func() {
		for i := range files {
			testdest.Must(t, os.Rename(s.at(fmt.Sprintf("old%05d", i)), s.at(fmt.Sprintf("new%05d", i))))
		}
		for i := range 300 {
			testdest.Must(t, os.Rename(s.at("links", fmt.Sprintf("%03d", i)), s.at("links", fmt.Sprintf("n%03d", i))))
		}
	})
	if n := strings.Count(got, "renamed new"); n != files || strings.Count(got, "\n") != files+300 || strings.Count(got, "renamed links/n") != 300 {
		t.Errorf("%d renamed of %d:\n%.2000s", n, files, got)
	}
}

// In a chain of snapshots inodes tell: as many names of one inode, all renamed.
func TestManyNamesOfOneFileRenamed(t *testing.T) {
	t.Parallel()
	const names = 2000
	l := newLine(t)
	for i := range names {
		dir := l.path(fmt.Sprintf("d%02d", i/100))
		if i == 0 {
			testdest.Write(t, filepath.Join(dir, "0"), "one file")
			continue
		}
		testdest.Must(t, os.MkdirAll(dir, 0o755))
		testdest.Must(t, os.Link(l.path("d00", "0"), filepath.Join(dir, fmt.Sprint(i))))
	}
	from := l.snap(t)
	for i := range names {
		dir := l.path(fmt.Sprintf("d%02d", i/100))
		testdest.Must(t, os.Rename(filepath.Join(dir, fmt.Sprint(i)), filepath.Join(dir, fmt.Sprintf("n%d", i))))
	}
	entries := bothWays(t, l.dest, from, l.snap(t), "")
	if got := show(entries); strings.Count(got, "renamed d") != names || len(entries) != names {
		t.Errorf("%d entries, want %d:\n%.2000s", len(entries), names, got)
	}
}

// The changes of a directory have the order that is documented.
func TestOrderOfTheChangesOfADirectory(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("dir", "a"), "a")
	l.snap(t)
	testdest.Must(t, os.Chmod(l.path("dir"), 0o700))
	testdest.Must(t, os.Chown(l.path("dir"), 1, 2))
	testdest.Must(t, syscall.Setxattr(l.path("dir"), "user.x", []byte("x"), 0))
	testdest.Write(t, l.path("dir", "b"), "b")
	l.snap(t)
	h, err := rsbtbackup.History(t.Context(), l.dest, "dir")
	testdest.Must(t, err)
	if got, want := fmt.Sprint(h.Versions[1].Changed), "[mode owner mtime xattrs]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
