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
	"golang.org/x/sys/unix"
)

// canary is a directory outside DEST that nothing may read into, write or change.
type canary struct {
	dir, digest string
}

func newCanary(t testing.TB) *canary {
	t.Helper()
	c := &canary{dir: filepath.Join(t.TempDir(), "canary")}
	testdest.Must(t, os.MkdirAll(filepath.Join(c.dir, "records"), 0o755))
	for _, name := range []string{"rsbtbackup", "activity.log", "file", "records/x.json"} {
		testdest.Must(t, os.WriteFile(filepath.Join(c.dir, name), []byte("canary"), 0o644))
	}
	c.digest = testdest.Digest(t, c.dir)
	return c
}

func (c *canary) unhurt(t testing.TB) {
	t.Helper()
	if testdest.Digest(t, c.dir) != c.digest {
		t.Errorf("something outside DEST was changed: %q", testdest.Entries(t, c.dir))
	}
}

// disguises replace the entry at path by something hostile.
var disguises = []struct {
	name string
	put  func(t testing.TB, path string, c *canary)
}{
	{"symlink to a directory", func(t testing.TB, path string, c *canary) { testdest.Must(t, os.Symlink(c.dir, path)) }},
	{"symlink to a file", func(t testing.TB, path string, c *canary) {
		testdest.Must(t, os.Symlink(filepath.Join(c.dir, "file"), path))
	}},
	{"dangling symlink", func(t testing.TB, path string, c *canary) {
		testdest.Must(t, os.Symlink(filepath.Join(c.dir, "new"), path))
	}},
	{"looping symlink", func(t testing.TB, path string, _ *canary) { testdest.Must(t, os.Symlink(filepath.Base(path), path)) }},
	{"fifo", func(t testing.TB, path string, _ *canary) { testdest.Must(t, unix.Mkfifo(path, 0o600)) }},
	{"directory", func(t testing.TB, path string, _ *canary) {
		testdest.Must(t, os.MkdirAll(filepath.Join(path, "inside"), 0o755))
	}},
	{"file of another owner", func(t testing.TB, path string, _ *canary) {
		testdest.Must(t, os.WriteFile(path, []byte("planted"), 0o666))
		testdest.Must(t, os.Chown(path, 65534, 65534))
	}},
	{"hard link", func(t testing.TB, path string, _ *canary) {
		testdest.Must(t, os.WriteFile(path, []byte("linked"), 0o600))
		testdest.Must(t, os.Link(path, path+".other"))
	}},
	{"device", func(t testing.TB, path string, _ *canary) {
		testdest.Must(t, unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 7))))
	}},
}

// hostileNames are the entries of DEST that are replaced.
var hostileNames = []string{
	".log", ".log/rsbtbackup", ".log/activity.log", ".log/activity.log.1", ".log/records", ".log/records/NEWEST.json",
	".log/catalog", ".log/.new-catalog", ".log/records/.new-NEWEST.json", ".log/pending.json", ".log/pending.catalog", ".log/.new-pending.json", ".log/holder.json",
	".log/.new-holder.json", "pending", "cur", ".cur.new",
}

// TestHostileDest replaces each name of ours in DEST by each disguise. A run may refuse or replace it; it must not
// follow it, hang on it, or lose a backup. When the disguise is taken away again, all must be well.
func TestHostileDest(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "2G")
	src := newTree(t)
	for n, name := range hostileNames {
		t.Run(filepath.Base(name), func(t *testing.T) {
			for i, disguise := range disguises {
				if (n+i)%2 != 0 && !dense() {
					continue
				}
				t.Run(disguise.name, func(t *testing.T) { hostile(t, mount, src, name, disguise.put) })
			}
		})
	}
}

func hostile(t *testing.T, mount string, src *tree, name string, put func(testing.TB, string, *canary)) {
	d := newDest(t, mount, src, 1)
	newest := names(d.backups)[0]
	path := d.join(replaceNewest(name, newest))
	c := newCanary(t)
	kept := path + ".kept"
	if testdest.Exists(path) {
		testdest.Must(t, os.Rename(path, kept))
	}
	put(t, path, c)
	src.change(t)
	listed := run(t, "list", d.path)
	wantExit(t, listed, 0, 1, 10)
	r := run(t, "backup", src.dir, d.path)
	wantExit(t, r, 0, 1, 10)
	if r.exit != 0 {
		wantOneError(t, r)
	}
	if init := run(t, "init", d.path); init.exit != 0 {
		wantExit(t, init, 1, 10)
	}
	c.unhurt(t)
	undisguise(t, d, path, kept, r.exit == 0)
	d.held(t, src)
	wantExit(t, run(t, "backup", "--lock-wait=10m", src.dir, d.path), 0)
	d.held(t, src)
	d.newestIsCur(t)
	c.unhurt(t)
}

func replaceNewest(name, newest string) string {
	const placeholder = "NEWEST"
	for i := range name {
		if len(name)-i >= len(placeholder) && name[i:i+len(placeholder)] == placeholder {
			return name[:i] + newest + name[i+len(placeholder):]
		}
	}
	return name
}

// undisguise restores the original, unless the run has put its own entry there.
func undisguise(t testing.TB, d *dest, path, kept string, ran bool) {
	t.Helper()
	_ = os.Remove(path + ".other")
	if !testdest.Exists(kept) {
		if !ran {
			testdest.Must(t, os.RemoveAll(path))
		}
		return
	}
	if filepath.Base(path) == "cur" && ran {
		testdest.Must(t, os.Remove(kept))
		return
	}
	testdest.Must(t, os.RemoveAll(path))
	testdest.Must(t, os.Rename(kept, path))
}

// TestHostileNames backs up names that look like options, hosts and escapes, to a DEST with such a name: nothing is
// taken for an option, nothing raw reaches a terminal or the log.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	mount := loopfs.New(t, "512M")
	src := newTree(t)
	for i, name := range []string{"-n", "--delete", "--rsh=touch owned", "a:b", "host::module", "\x1b]0;owned\x07", "new\nline", "\xff\xfe", "*?[", "`id`", "$(id)"} {
		testdest.Must(t, os.WriteFile(src.path(name), fmt.Append(nil, i), 0o644))
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			parent := newDir(t, mount)
			testdest.Must(t, os.Mkdir(filepath.Join(parent, name), 0o700))
			d := &dest{path: filepath.Join(parent, name), backups: map[string]string{}}
			wantExit(t, run(t, "init", d.path), 0)
			r := run(t, "backup", "-v", src.dir, d.path)
			wantExit(t, r, 0)
			printable(t, r.stdout+r.stderr)
			logIsClean(t, d)
			d.held(t, src)
			printable(t, run(t, "list", d.path).stdout)
			d.check(t, src)
		})
	}
}

// TestNamesForgeNoMessages backs up names that are what rsync says: none may remove files or stop a run, with any
// output options of rsync.
func TestNamesForgeNoMessages(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	testdest.Must(t, os.WriteFile(src.path("passwd"), []byte("root"), 0o644))
	forged := []string{
		`skipping non-regular file "passwd"`, "Deletions stopped due to --max-delete limit (1 skipped)", "Number of files: 1", "Total bytes sent: x",
		`change: *deleting   passwd`, "rsync: [receiver] write failed: No space left on device (28)", "sending incremental file list",
	}
	for _, name := range forged {
		testdest.Must(t, os.WriteFile(src.path(name), nil, 0o644))
		testdest.Must(t, os.MkdirAll(filepath.Join(src.path("dirs"), name), 0o755))
	}
	r := run(t, "backup", "-n", src.dir, d.path)
	wantExit(t, r, 0)
	for _, name := range forged {
		if !strings.Contains(r.stdout, ">f+++++++++ "+name+"\n") {
			t.Errorf("the dry run does not list %q:\n%s", name, r)
		}
	}
	for _, option := range []string{"-v", "-i", "-zi", "--out-format=%n", "--log-format=%n", "--info=name", "--debug=all", "--progress", "-P", "--list-only"} {
		r := run(t, "backup", src.dir, d.path, "--", option)
		wantExit(t, r, 2)
		wantOneError(t, r)
	}
	wantExit(t, run(t, "backup", "--max-delete-percent=50", src.dir, d.path), 0)
	d.held(t, src)
	d.newestIsCur(t)
	d.check(t, src)
}

// TestHostileErrors lets rsync complain of names with escapes in them.
func TestHostileErrors(t *testing.T) {
	t.Parallel()
	src := newTree(t)
	d := newDest(t, loopfs.New(t, "512M"), src, 1)
	for _, path := range []string{"/does/not/exist/\x1b[31m", "/does/not/exist/a\nb", "host:\x1b]0;x\x07/path", "-e/bin/sh:x", "--rsh=x:y"} {
		r := run(t, "backup", "--rsh=false", path, d.path)
		wantExit(t, r, 2, 12)
		printable(t, r.stdout+r.stderr)
		logIsClean(t, d)
	}
	d.check(t, src)
}

func printable(t testing.TB, text string) {
	t.Helper()
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 {
			t.Errorf("a control character was printed: %q", text)
			return
		}
	}
}
