//go:build integration

package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// rollback is a source with two nested subvolumes, one in a directory, and a DEST with one backup of it.
type rollback struct {
	src string
	d   *dest
}

func newRollback(t *testing.T, flags ...string) rollback {
	t.Helper()
	mount := loopfs.New(t, "512M")
	r := rollback{src: filepath.Join(mount, "src"), d: newDestAt(t, filepath.Join(mount, "dest"))}
	testdest.Tool(t, "btrfs", "subvolume", "create", r.src)
	testdest.Must(t, os.Mkdir(filepath.Join(r.src, "dir"), 0o755))
	for _, path := range []string{"nested", "dir/inner", "hollow"} {
		testdest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(r.src, path))
	}
	for _, path := range []string{"a", "b", "dir/c", "nested/file", "dir/inner/file"} {
		r.write(t, path)
	}
	for i := range 20 { // what is lost is little
		r.write(t, fmt.Sprintf("many%d", i))
	}
	r.backup(t, 0, flags...)
	return r
}

func (r rollback) write(t *testing.T, path string) {
	t.Helper()
	testdest.Must(t, os.WriteFile(filepath.Join(r.src, path), []byte(path), 0o644))
}

func (r rollback) backup(t *testing.T, code int, flags ...string) result {
	t.Helper()
	got := run(t, slices.Concat([]string{"backup", r.src, r.d.path}, flags)...)
	wantExit(t, got, code)
	return got
}

// back puts a snapshot of the source in its place.
func (r rollback) back(t *testing.T) {
	t.Helper()
	testdest.Must(t, os.Rename(r.src, r.src+".old"))
	testdest.Tool(t, "btrfs", "subvolume", "snapshot", r.src+".old", r.src)
}

// repair moves the nested subvolumes to where they were.
func (r rollback) repair(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		testdest.Must(t, os.Remove(filepath.Join(r.src, path)))
		testdest.Must(t, os.Rename(filepath.Join(r.src+".old", path), filepath.Join(r.src, path)))
	}
}

func (r rollback) has(t *testing.T, path string, want bool) {
	t.Helper()
	if got := testdest.Exists(filepath.Join(r.d.join("cur"), path)); got != want {
		t.Errorf("the backup has %s: %v", path, got)
	}
}

// TestARollbackLeavesStubs replaces a source by a snapshot of itself: what was in nested subvolumes must not go from
// the backup without a word.
func TestARollbackLeavesStubs(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"generations": nil, "walk": {"--scan=walk"}, "full": {"--scan=full"}, "by content": {"--checksum"}, "filter": {"--filter=- /none"},
		"snapshot": {"--snapshot-source", "--snapshot-nested"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRollback(t)
			r.back(t)
			args := slices.Concat([]string{r.src, r.d.path}, flags)
			guarded(t, r.d, args...)
			r.backup(t, 13, append(flags, "-n")...)
			testdest.Must(t, os.RemoveAll(r.d.join(".log", "catalog")))
			guarded(t, r.d, args...)

			got := r.backup(t, 13, flags...)
			for _, text := range []string{filepath.Join(r.src, "dir/inner"), "is the empty place of a subvolume", "--exclude", "--force"} {
				if !strings.Contains(got.stderr, text) {
					t.Errorf("the message lacks %q:\n%s", text, got.stderr)
				}
			}
			r.repair(t, "dir/inner")
			guarded(t, r.d, args...) // the other one
			r.backup(t, 0, append(flags, "--force")...)
			r.has(t, "nested/file", false)
			r.has(t, "dir/inner/file", true)
			r.write(t, "new")
			r.backup(t, 0, flags...) // it is empty in the last backup now
			r.has(t, "new", true)
			r.repair(t, "nested")
			r.backup(t, 0, flags...)
			r.has(t, "nested/file", true)
		})
	}
	t.Run("after a backup that knows no subvolumes", func(t *testing.T) {
		r := newRollback(t)
		r.write(t, "changed")
		r.backup(t, 0)
		forgetSubvolumes(t, r.d.path)
		r.back(t)
		guarded(t, r.d, r.src, r.d.path)
	})
	t.Run("a nested subvolume was rolled back", func(t *testing.T) {
		r := newRollback(t)
		deeper := rollback{src: filepath.Join(r.src, "nested"), d: r.d}
		testdest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(deeper.src, "deep"))
		deeper.write(t, "deep/file")
		r.backup(t, 0)
		testdest.Must(t, os.Rename(deeper.src, filepath.Join(filepath.Dir(r.src), "old")))
		testdest.Tool(t, "btrfs", "subvolume", "snapshot", filepath.Join(filepath.Dir(r.src), "old"), deeper.src)
		guarded(t, r.d, r.src, r.d.path)
	})
}

// forgetSubvolumes makes the record of the newest backup that of a run that could not ask btrfs.
func forgetSubvolumes(t *testing.T, dest string) {
	t.Helper()
	path := filepath.Join(dest, ".log", "records", filepath.Base(testdest.CurrentPath(t, dest))+".json")
	var record map[string]any
	testdest.Must(t, json.Unmarshal([]byte(read(t, path)), &record))
	scan, ok := record["scan"].(map[string]any)
	if _, had := scan["generations"]; !ok || !had {
		t.Fatalf("no subvolumes are on record: %v", record)
	}
	delete(scan, "generations")
	text, err := json.Marshal(record)
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(path, text, 0o600))
}

// TestStubsThatLoseNothing is what must not be refused.
func TestStubsThatLoseNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, then []string
		change      func(t *testing.T, r rollback)
	}{
		"healthy": {change: func(*testing.T, rollback) {}},
		"deleted": {change: func(t *testing.T, r rollback) {
			testdest.Tool(t, "btrfs", "subvolume", "delete", filepath.Join(r.src, "nested"))
		}},
		"deleted, and a directory in its place": {change: func(t *testing.T, r rollback) {
			testdest.Tool(t, "btrfs", "subvolume", "delete", filepath.Join(r.src, "nested"))
			testdest.Must(t, os.Mkdir(filepath.Join(r.src, "nested"), 0o755))
		}},
		"another filesystem in its place, whose top has the inode number of a stub": {change: func(t *testing.T, r rollback) {
			disk := loopfs.NewImage(t, "64M", "ext4")
			testdest.Must(t, os.WriteFile(filepath.Join(disk.Mount, "file"), nil, 0o644))
			bindAt(t, disk.Mount, filepath.Join(r.src, "nested"))
		}},
		"empty at the last backup too": {change: func(t *testing.T, r rollback) {
			r.back(t)
			r.repair(t, "nested", "dir/inner")
		}},
		"named by a rule now":          {then: []string{"--exclude=/nested", "--exclude=/dir"}, change: func(t *testing.T, r rollback) { r.back(t) }},
		"always left out by a pattern": {first: []string{"--exclude=nes*", "--exclude=inn*"}, then: []string{"--exclude=nes*", "--exclude=inn*"}, change: func(t *testing.T, r rollback) { r.back(t) }},
		"on one filesystem":            {first: []string{"-x"}, then: []string{"-x"}, change: func(t *testing.T, r rollback) { r.back(t) }},
		"on one filesystem now":        {then: []string{"-x"}, change: func(t *testing.T, r rollback) { r.back(t) }},
		"a snapshot on one filesystem": {first: []string{"-x", "--snapshot-source"}, then: []string{"-x", "--snapshot-source"}, change: func(*testing.T, rollback) {}},
		"a snapshot of all":            {first: []string{"--snapshot-nested"}, then: []string{"--snapshot-nested"}, change: func(*testing.T, rollback) {}},
		"a snapshot of all, later":     {then: []string{"--snapshot-nested"}, change: func(*testing.T, rollback) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRollback(t, c.first...)
			c.change(t, r)
			r.write(t, "new")
			r.backup(t, 0, c.then...)
			r.has(t, "new", true)
		})
	}
}

// TestARollbackOfAnOrdinaryUser is the same of somebody who cannot ask for subvolumes.
func TestARollbackOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M", "user_subvol_rm_allowed")
	src, dest := filepath.Join(mount, "src"), filepath.Join(mount, "dest")
	testdest.Must(t, os.Mkdir(dest, 0o755))
	testdest.Tool(t, "btrfs", "subvolume", "create", src)
	testdest.Must(t, os.Mkdir(filepath.Join(src, "dir"), 0o755))
	testdest.Tool(t, "btrfs", "subvolume", "create", filepath.Join(src, "dir/nested"))
	for i := range 20 {
		testdest.Write(t, filepath.Join(src, fmt.Sprint("many", i)), "x")
	}
	testdest.Write(t, filepath.Join(src, "dir/nested/file"), "x")
	testdest.Tool(t, "chown", "-R", "65534:65534", src, dest)
	backup := func(code int, flags ...string) {
		t.Helper()
		if r := testbin.AsNobody(t, append([]string{"backup", src, dest}, flags...)...); r.Exit != code {
			t.Fatalf("exit %d, want %d\n%s", r.Exit, code, r.Stderr)
		}
	}
	if r := testbin.AsNobody(t, "init", dest); r.Exit != 0 {
		t.Fatal(r.Stderr)
	}
	backup(0)
	testdest.Write(t, filepath.Join(src, "dir/nested/file"), "changed")
	backup(0)
	forgetSubvolumes(t, dest)
	testdest.Must(t, os.Rename(src, src+".old"))
	testdest.Tool(t, "btrfs", "subvolume", "snapshot", src+".old", src)
	backup(13)
	backup(13, "--scan=full")
	if !testdest.Exists(filepath.Join(testdest.CurrentPath(t, dest), "dir/nested/file")) {
		t.Error("cur names a backup without the subvolume")
	}
	backup(0, "--exclude=/dir/nested")
	backup(0, "--force")
	backup(0)
}
