//go:build integration

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

func wantSaid(t testing.TB, r result, text string, want bool) {
	t.Helper()
	wantExit(t, r, 0)
	if strings.Contains(r.stdout+r.stderr, text) != want {
		t.Errorf("%q is said: want %v\n%v", text, want, r)
	}
}

// TestMostOfTheSourceIsGone deletes most of the files, by accident perhaps. A few that come and go are no news.
func TestMostOfTheSourceIsGone(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src := t.TempDir()
	remove := func(from, to int) {
		for i := from; i < to; i++ {
			testdest.Must(t, os.Remove(filepath.Join(src, fmt.Sprint("file", i))))
		}
	}
	for i := range 596 {
		testdest.Must(t, os.WriteFile(filepath.Join(src, fmt.Sprint("file", i)), nil, 0o644))
	}
	wantSaid(t, run(t, "backup", src, d.path), "are gone", false)
	remove(0, 5)
	wantSaid(t, run(t, "backup", src, d.path), "are gone", false)
	remove(5, 105) // one of six, and twenty times as many as ever
	wantSaid(t, run(t, "backup", src, d.path), "100 of the 592 files", true)
	remove(105, 501)
	r := run(t, "backup", src, d.path)
	wantSaid(t, r, "396 of the 492 files", true)
	if !strings.Contains(r.stderr, "rsbtbackup diff "+d.path+" latest~1 latest") {
		t.Errorf("nothing says how to see which:\n%s", r.stderr)
	}
	wantSaid(t, run(t, "backup", src, d.path), "are gone", false)
}

// TestOneFileSystemNamesWhatItLeavesOut has a disk below SRC that -x does not enter, then another, and one that FUSE
// shows.
func TestOneFileSystemNamesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src := t.TempDir()
	testdest.Must(t, os.WriteFile(filepath.Join(src, "file"), nil, 0o644))
	bindAt(t, loopfs.NewFS(t, "64M", "ext4"), filepath.Join(src, "home"))
	bindAt(t, loopfs.NewFS(t, "8M", "tmpfs"), filepath.Join(src, "tmp"))
	bindAt(t, src, filepath.Join(src, "again")) // not another filesystem
	const leaves = "--one-file-system leaves out"
	r := run(t, "backup", "-x", "--exclude=/again/again", src, d.path)
	wantSaid(t, r, leaves+" the filesystems at home: ", true)
	wantSaid(t, run(t, "list", d.path), leaves+" home\n", true)
	wantSaid(t, run(t, "check", "--min-free=1K", "--min-metadata=1K", d.path), leaves+" home\n", true)
	wantSaid(t, run(t, "backup", "-x", src, d.path), leaves, false)
	bindAt(t, loopfs.NewFS(t, "64M", "ext4"), filepath.Join(src, "srv"))
	wantSaid(t, run(t, "backup", "-x", src, d.path), leaves+" the filesystems at home, srv: ", true)
	pool := filepath.Join(src, "pool")
	testdest.Must(t, os.Mkdir(pool, 0o755))
	testdest.Tool(t, "bindfs", "-o", "fsname=a:b", t.TempDir(), pool)
	t.Cleanup(func() { testdest.Tool(t, "umount", "--lazy", pool) })
	wantSaid(t, run(t, "backup", "-x", src, d.path), leaves+" the filesystems at home, pool, srv: ", true)
	wantSaid(t, run(t, "backup", "-x", "--exclude=/home", "--exclude=/srv", "--exclude=/pool", src, d.path), leaves, false)
}

// TestAPatternWithTheSourcesPath takes a pattern for a path on this machine.
func TestAPatternWithTheSourcesPath(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src := t.TempDir()
	testdest.Must(t, os.MkdirAll(filepath.Join(src, "cache"), 0o755))
	testdest.Must(t, os.WriteFile(filepath.Join(src, "file"), nil, 0o644))
	rules := filepath.Join(t.TempDir(), "rules")
	testdest.Must(t, os.WriteFile(rules, []byte("# what to leave out\n*.o\n"+src+"/cache\n"), 0o644))
	for _, args := range [][]string{
		{"--exclude=" + src + "/cache"}, {"--filter=- " + src + "/cache"}, {"--exclude-from=" + rules}, {"-n", "--exclude=" + src + "/cache"}, {"--", "--exclude", src + "/cache"},
	} {
		wantSaid(t, run(t, append([]string{"backup", src, d.path}, args...)...), "give /cache", true)
	}
	link := filepath.Join(t.TempDir(), "link")
	testdest.Must(t, os.Symlink(src, link))
	wantSaid(t, run(t, "backup", src, d.path, "--exclude="+link+"/cache"), "give /cache", true)
	wantSaid(t, run(t, "backup", src, d.path, "--exclude=/cache"), "give /", false)
	testdest.Must(t, os.MkdirAll(filepath.Join(src, src, "cache"), 0o755)) // it is a path below SRC, too
	wantSaid(t, run(t, "backup", src, d.path, "--exclude="+src+"/cache"), "give /", false)
}
