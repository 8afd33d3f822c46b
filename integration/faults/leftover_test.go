//go:build integration

package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestLeftoverPending puts every kind of thing where pending should be. What holds data of others is moved aside, the
// rest goes.
func TestLeftoverPending(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	for _, tt := range []struct {
		name  string
		aside bool
		put   func(t testing.TB, d *dest, path string)
	}{
		{"empty directory", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Mkdir(p, 0o755)) }},
		{"directory", true, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.MkdirAll(p+"/inside", 0o755)) }},
		{"file", true, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.WriteFile(p, []byte("mine"), 0o644)) }},
		{"symlink", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Symlink("cur", p)) }},
		{"subvolume", false, func(t testing.TB, _ *dest, p string) { testdest.NewSubvolume(t, p) }},
		{"read-only subvolume", false, func(t testing.TB, d *dest, p string) { testdest.Snapshot(t, d.newest(), p, true) }},
		{"snapshot of the newest", false, func(t testing.TB, d *dest, p string) {
			testdest.Snapshot(t, d.newest(), p, false)
			testdest.Must(t, os.WriteFile(p+"/not in the source", []byte("x"), 0o600))
			testdest.Must(t, os.WriteFile(p+"/.large.XXXXXX", []byte("x"), 0o600))
		}},
		{"nested subvolumes", false, func(t testing.TB, d *dest, p string) {
			testdest.Snapshot(t, d.newest(), p, false)
			testdest.NewSubvolume(t, p+"/nested")
			testdest.Must(t, os.Mkdir(p+"/nested/dir", 0o700))
			testdest.NewSubvolume(t, p+"/nested/dir/deeper")
			testdest.Must(t, os.WriteFile(p+"/nested/dir/deeper/file", []byte("x"), 0o600))
		}},
		{"subvolume with files", true, func(t testing.TB, _ *dest, p string) {
			testdest.NewSubvolume(t, p)
			testdest.Must(t, os.WriteFile(p+"/file", []byte("mine"), 0o644))
		}},
		{"snapshot of something else", true, func(t testing.TB, _ *dest, p string) {
			testdest.NewSubvolume(t, p+".made")
			testdest.Must(t, os.WriteFile(p+".made/file", []byte("mine"), 0o644))
			testdest.Snapshot(t, p+".made", p, true)
			removeSubvolumes(t, p+".made")
		}},
		{"read-only with nested subvolumes", true, func(t testing.TB, d *dest, p string) {
			testdest.NewSubvolume(t, p)
			testdest.NewSubvolume(t, p+"/nested")
			readOnly(t, p)
		}},
		{"stub of a nested subvolume", true, func(t testing.TB, d *dest, p string) {
			testdest.NewSubvolume(t, p+".made")
			testdest.NewSubvolume(t, p+".made/sub")
			testdest.Snapshot(t, p+".made", p, false)
			removeSubvolumes(t, p+".made/sub", p+".made")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDest(t, mount, src, 2)
			src.change(t)
			tt.put(t, d, d.join("pending"))
			before := testdest.Entries(t, d.path)
			wantExit(t, run(t, "backup", src.dir, d.path), 0)
			for _, name := range testdest.Entries(t, d.path) {
				if matched, _ := filepath.Match("pending.was-*", name); matched && !slices.Contains(before, name) {
					d.foreign = append(d.foreign, name)
				}
			}
			if got := len(d.foreign) > 0; got != tt.aside {
				t.Errorf("moved aside: %v, want %v", got, tt.aside)
			}
			d.check(t, src)
			d.isTidy(t)
		})
	}
}

// TestLeftoverPendingImmutable finds a pending that not even root may change: the run says so, and goes on when it may.
func TestLeftoverPendingImmutable(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	testdest.Snapshot(t, d.newest(), d.join("pending"), false)
	testdest.Must(t, os.WriteFile(d.join("pending", "file"), []byte("x"), 0o600))
	chattr(t, "+i", d.join("pending", "file"))
	src.change(t)
	r := run(t, "backup", src.dir, d.path)
	if r.exit != 0 {
		wantExit(t, r, 1)
		wantOneError(t, r)
		d.held(t, src)
		chattr(t, "-i", d.join("pending", "file"))
	}
	d.check(t, src)
}

func chattr(t testing.TB, flag, path string) {
	t.Helper()
	if out, err := exec.Command("chattr", flag, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestLeftoverCur breaks cur in every way.
func TestLeftoverCur(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	outside := t.TempDir()
	for _, tt := range []struct {
		name  string
		aside bool
		put   func(t testing.TB, d *dest, path string)
	}{
		{"missing", false, func(testing.TB, *dest, string) {}},
		{"dangling", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Symlink("2001-01-01-00:00", p)) }},
		{"looping", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Symlink("cur", p)) }},
		{"outside", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Symlink(outside, p)) }},
		{"to pending", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Symlink("pending", p)) }},
		{"to an older one", false, func(t testing.TB, d *dest, p string) { testdest.Must(t, os.Symlink(names(d.backups)[0], p)) }},
		{"by another path", false, func(t testing.TB, d *dest, p string) { testdest.Must(t, os.Symlink(d.newest(), p)) }},
		{"empty directory", false, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.Mkdir(p, 0o755)) }},
		{"directory", true, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.MkdirAll(p+"/inside", 0o755)) }},
		{"file", true, func(t testing.TB, _ *dest, p string) { testdest.Must(t, os.WriteFile(p, []byte("mine"), 0o644)) }},
		{"subvolume", true, func(t testing.TB, d *dest, p string) { testdest.Snapshot(t, d.newest(), p, false) }},
		{"read-only subvolume", true, func(t testing.TB, d *dest, p string) { testdest.Snapshot(t, d.newest(), p, true) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDest(t, mount, src, 2)
			testdest.Must(t, os.Remove(d.join("cur")))
			tt.put(t, d, d.join("cur"))
			src.change(t)
			wantExit(t, run(t, "list", d.path), 0)
			wantExit(t, run(t, "backup", src.dir, d.path), 0)
			for _, name := range testdest.Entries(t, d.path) {
				if matched, _ := filepath.Match("cur.was-*", name); matched {
					d.foreign = append(d.foreign, name)
				}
			}
			if got := len(d.foreign) > 0; got != tt.aside {
				t.Errorf("moved aside: %v, want %v", got, tt.aside)
			}
			d.check(t, src)
		})
	}
}

// TestLeftoverForeign has things in DEST that are none of ours.
func TestLeftoverForeign(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	testdest.Must(t, os.WriteFile(d.join("lost+found"), []byte("x"), 0o600))
	testdest.Must(t, os.Mkdir(d.join("2020-01-01-00:00"), 0o700))
	testdest.Must(t, os.Symlink(names(d.backups)[0], d.join("2020-01-02-00:00")))
	testdest.NewSubvolume(t, d.join("someone's"))
	d.foreign = []string{"lost+found", "2020-01-01-00:00", "2020-01-02-00:00", "someone's"}
	src.change(t)
	d.check(t, src)
	d.check(t, src)
}

func (d *dest) newest() string {
	list := names(d.backups)
	return d.join(list[len(list)-1])
}

// TestAHandMadeBackupIsNoBase has a subvolume with the name of a backup, newer than all others. Only the content of its
// files differs from that of the source.
func TestAHandMadeBackupIsNoBase(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(t *testing.T, d *dest, path string){
		"made": func(t *testing.T, _ *dest, path string) { testdest.NewSubvolume(t, path) },
		"snapshot of a backup": func(t *testing.T, d *dest, path string) {
			testdest.Snapshot(t, d.join(testdest.Current(t, d.path)), path, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
			src := t.TempDir()
			twin{fill: 'a'}.write(t, src)
			wantExit(t, run(t, "backup", src, d.path), 0)
			made := d.join("2099-01-01-00:00")
			put(t, d, made)
			twin{fill: 'b', name: "mine"}.write(t, made)
			for range 2 {
				testdest.Write(t, filepath.Join(src, "new"), name)
				wantExit(t, run(t, "backup", src, d.path), 0)
				if got := read(t, filepath.Join(d.join("cur"), "file3")); got[0] != 'a' {
					t.Errorf("the backup has %q", got[0])
				}
			}
			if got := read(t, filepath.Join(made, "mine")); got != "b" {
				t.Errorf("what was put there has changed: %q", got)
			}
		})
	}
}

// TestABackupIsReplacedByHand puts a snapshot of an older backup under the name of the newest, whose record and catalog
// do not tell of that.
func TestABackupIsReplacedByHand(t *testing.T) {
	t.Parallel()
	d := newDestAt(t, filepath.Join(loopfs.New(t, "512M"), "dest"))
	src := t.TempDir()
	for _, fill := range []byte("ab") {
		twin{fill: fill, name: string(fill)}.write(t, src)
		longAgo(t)
		wantExit(t, run(t, "backup", src, d.path), 0)
	}
	list := testdest.Names(t, d.path)
	removeSubvolumes(t, d.join(list[1]))
	testdest.Snapshot(t, d.join(list[0]), d.join(list[1]), true)
	r := run(t, "backup", src, d.path)
	wantExit(t, r, 0)
	testdest.WantSame(t, src, testdest.CurrentPath(t, d.path), "--checksum")
	if r = run(t, "backup", src, d.path); r.exit != 0 || r.stderr != "" {
		t.Errorf("it is still doubted: %v", r)
	}
}
