//go:build integration

package diff

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// TestDiffKinds has one case for each thing that can happen to a file. The tree it starts from is always the same.
func TestDiffKinds(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	for _, tt := range []struct {
		name   string
		change func(at func(...string) string) error
		want   string
	}{
		{"nothing", func(func(...string) string) error { return nil }, ""},
		{"add", func(at func(...string) string) error { return create(at("new"), []byte("x")) }, "added new\n"},
		{"add a tree", func(at func(...string) string) error {
			return errors.Join(os.Mkdir(at("new"), 0o755), create(at("new", "file"), nil))
		}, "added new\nadded new/file\n"},
		{"remove", func(at func(...string) string) error { return os.Remove(at("a")) }, "removed a\n"},
		{"remove a tree", func(at func(...string) string) error { return os.RemoveAll(at("d")) }, "removed d\nremoved d/one\nremoved d/two\n"},
		{"modify", func(at func(...string) string) error { return os.WriteFile(at("a"), []byte("changed"), 0o644) }, "modified a [content mtime]\n"},
		{"modify, same size, old time", func(at func(...string) string) error {
			info, err := os.Stat(at("a"))
			return errors.Join(err, os.WriteFile(at("a"), []byte("content B"), 0o644), os.Chtimes(at("a"), info.ModTime(), info.ModTime()))
		}, "modified a [content]\n"},
		{"same bytes written again", func(at func(...string) string) error {
			info, err := os.Stat(at("a"))
			return errors.Join(err, os.WriteFile(at("a"), []byte("content a"), 0o644), os.Chtimes(at("a"), info.ModTime(), info.ModTime()))
		}, ""},
		{"touch", func(at func(...string) string) error { return os.Chtimes(at("a"), time.Time{}, time.Unix(1, 2)) }, "metadata a [mtime]\n"},
		{"touch a directory", func(at func(...string) string) error { return os.Chtimes(at("d"), time.Time{}, time.Unix(1, 2)) }, ""},
		{"chmod", func(at func(...string) string) error { return os.Chmod(at("d"), 0o700) }, "metadata d [mode]\n"},
		{"chmod of the root", func(at func(...string) string) error { return os.Chmod(at(), 0o711) }, "metadata . [mode]\n"},
		{"chown", func(at func(...string) string) error { return os.Lchown(at("link"), 1, 2) }, "metadata link [owner]\n"},
		{"xattr", func(at func(...string) string) error { return unix.Setxattr(at("a"), "user.x", []byte("v"), 0) }, "metadata a [xattrs]\n"},
		{"rename", func(at func(...string) string) error { return os.Rename(at("a"), at("d", "b")) }, "renamed d/b from a\n"},
		{"rename a directory", func(at func(...string) string) error { return os.Rename(at("d"), at("e")) }, "renamed e from d\n"},
		{"rename a directory, change in it", func(at func(...string) string) error {
			return errors.Join(os.Rename(at("d"), at("e")), os.WriteFile(at("e", "one"), []byte("changed"), 0o644))
		}, "renamed e from d\nmodified e/one from d/one [content mtime]\n"},
		{"rename as rsync does", func(at func(...string) string) error {
			return errors.Join(copyFile(at("a"), at("tmp"), at("b")), os.Remove(at("a")))
		}, "renamed b from a\n"},
		{"rename and change the mode", func(at func(...string) string) error {
			return errors.Join(os.Rename(at("a"), at("b")), os.Chmod(at("b"), 0o600))
		}, "renamed b from a [mode]\n"},
		{"rename over", func(at func(...string) string) error { return os.Rename(at("a"), at("d", "one")) }, "removed d/one\nrenamed d/one from a\n"},
		{"swap", func(at func(...string) string) error {
			return unix.Renameat2(unix.AT_FDCWD, at("d", "one"), unix.AT_FDCWD, at("d", "two"), unix.RENAME_EXCHANGE)
		}, "renamed d/one from d/two\nrenamed d/two from d/one\n"},
		{"swap a file and a directory", func(at func(...string) string) error {
			return unix.Renameat2(unix.AT_FDCWD, at("a"), unix.AT_FDCWD, at("d"), unix.RENAME_EXCHANGE)
		}, "renamed a from d\nrenamed d from a\n"},
		{"rotate logs", func(at func(...string) string) error {
			return errors.Join(os.Rename(at("d", "one"), at("d", "two")), create(at("d", "one"), []byte("fresh")))
		}, "added d/one\nremoved d/two\nrenamed d/two from d/one\n"},
		{"replace, same content and time", func(at func(...string) string) error { return copyFile(at("a"), at("tmp"), at("a")) }, ""},
		{"file becomes directory", func(at func(...string) string) error {
			return errors.Join(os.Remove(at("a")), os.Mkdir(at("a"), 0o755), create(at("a", "x"), nil))
		}, "modified a, directory, was file [type]\nadded a/x\n"},
		{"symlink gets another target", func(at func(...string) string) error {
			return errors.Join(os.Remove(at("link")), os.Symlink("b", at("link")))
		}, "modified link [content mtime]\n"},
		{"add a hard link", func(at func(...string) string) error { return os.Link(at("a"), at("b")) }, "added b\n"},
		{"remove a hard link", func(at func(...string) string) error { return os.Remove(at("h1")) }, "removed h1\n"},
		{"move a hard link", func(at func(...string) string) error { return os.Rename(at("h1"), at("h3")) }, "renamed h3 from h1\n"},
		{"change a file with two names", func(at func(...string) string) error { return os.WriteFile(at("h2"), []byte("changed"), 0o644) }, "modified h1 [content mtime]\nmodified h2 [content mtime]\n"},
		{"directory into its child", func(at func(...string) string) error {
			return errors.Join(os.Rename(at("p", "q"), at("q")), os.Rename(at("p"), at("q", "p")))
		}, "renamed q from p/q\nrenamed q/p from p\n"},
		{"device", func(at func(...string) string) error { return unix.Mknod(at("null"), unix.S_IFCHR|0o600, 0x103) }, "added null\n"},
		{"name of odd bytes", func(at func(...string) string) error { return create(at("new\n\x1b[31m\xff"), nil) }, "added new\n\x1b[31m\xff\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.restart(t)
			at := l.path
			testdest.Write(t, at("a"), "content a")
			testdest.Write(t, at("d", "one"), "content one")
			testdest.Write(t, at("d", "two"), "content two!")
			testdest.Write(t, at("h1"), "content h")
			testdest.Write(t, at("p", "q", "r"), "content r")
			testdest.Must(t, os.Link(at("h1"), at("h2")))
			testdest.Must(t, os.Symlink("a", at("link")))
			from := l.snap(t)
			testdest.Must(t, tt.change(at))
			to := l.snap(t)
			if d := cmp.Diff(tt.want, show(bothWays(t, l.dest, from, to, ""))); d != "" {
				t.Error(d)
			}
			bothWays(t, l.dest, to, from, "")
		})
	}
}

func TestDiffPart(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("in", "stays"), "1")
	testdest.Write(t, l.path("in", "goes", "x"), "2")
	testdest.Write(t, l.path("out", "comes", "y"), "3")
	testdest.Write(t, l.path("moved", "file"), "4")
	from := l.snap(t)
	testdest.Must(t, os.Rename(l.path("in", "goes"), l.path("out", "goes")))
	testdest.Must(t, os.Rename(l.path("out", "comes"), l.path("in", "comes")))
	testdest.Must(t, os.Rename(l.path("moved"), l.path("in", "moved")))
	to := l.snap(t)
	for _, tt := range []struct{ path, want string }{
		{"", "renamed in/comes from out/comes\nrenamed in/moved from moved\nrenamed out/goes from in/goes\n"},
		{"in", "added in/comes\nadded in/comes/y\nremoved in/goes\nremoved in/goes/x\nadded in/moved\nadded in/moved/file\n"},
		{"/in/", "added in/comes\nadded in/comes/y\nremoved in/goes\nremoved in/goes/x\nadded in/moved\nadded in/moved/file\n"},
		{"in/stays", ""},
		{"moved", "removed moved\nremoved moved/file\n"},
		{"in/moved/file", "added in/moved/file\n"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			if d := cmp.Diff(tt.want, show(bothWays(t, l.dest, from, to, tt.path))); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDiffUnrelated: backups that descend from nothing in common are compared by name.
func TestDiffUnrelated(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("same", "file"), "1")
	testdest.Write(t, l.path("a"), "2")
	testdest.Must(t, os.Chtimes(l.path("same", "file"), time.Time{}, time.Unix(1, 0)))
	from := l.snap(t)
	l.restart(t)
	testdest.Write(t, l.path("same", "file"), "1")
	testdest.Write(t, l.path("b"), "3")
	testdest.Must(t, os.Chtimes(l.path("same", "file"), time.Time{}, time.Unix(1, 0)))
	to := l.snap(t)
	d, err := rsbtbackup.Diff(t.Context(), l.dest, from, to, rsbtbackup.DiffOptions{})
	testdest.Must(t, err)
	if d.Method != rsbtbackup.DiffWalk {
		t.Errorf("method %q", d.Method)
	}
	if got := show(d.Entries); got != "removed a\nadded b\n" {
		t.Errorf("got\n%s", got)
	}
	if _, err := rsbtbackup.Diff(t.Context(), l.dest, from, to, rsbtbackup.DiffOptions{Method: rsbtbackup.DiffSend}); err == nil {
		t.Error("by stream: no error")
	}
}

// TestDiffBackups compares what real runs have made: each is a snapshot of a snapshot.
func TestDiffBackups(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	src := t.TempDir()
	testdest.Write(t, filepath.Join(src, "a"), "1")
	testdest.Write(t, filepath.Join(src, "d", "b"), "2")
	testdest.Must(t, os.Link(filepath.Join(src, "a"), filepath.Join(src, "a2")))
	testbin.Must(t, "backup", src, l.dest)
	testdest.Write(t, filepath.Join(src, "d", "b"), "22")
	testdest.Must(t, os.Rename(filepath.Join(src, "d"), filepath.Join(src, "e")))
	testbin.Must(t, "backup", src, l.dest)
	testdest.Write(t, filepath.Join(src, "c"), "3")
	testbin.Must(t, "backup", src, l.dest)
	for _, tt := range []struct{ from, to, want string }{
		{"latest~2", "latest~1", "renamed e from d\nmodified e/b from d/b [content mtime]\n"},
		{"latest~1", "latest", "added c\n"},
		{"latest~2", "latest", "added c\nrenamed e from d\nmodified e/b from d/b [content mtime]\n"},
		{"latest", "latest~1", "removed c\n"},
		{"latest", "latest", ""},
	} {
		if got := show(bothWays(t, l.dest, tt.from, tt.to, "")); got != tt.want {
			t.Errorf("%s to %s:\n%swant\n%s", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestDiffBadInput(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("a"), "1")
	testdest.Write(t, l.path("binary"), "\x00")
	l.snap(t)
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"diff", l.dest, "nothing", "latest"}, 2, `no backup is called "nothing"`},
		{[]string{"diff", l.dest, "latest", "latest~7"}, 2, "latest~7"},
		{[]string{"diff", l.dest, "latest", "latest", "no/such"}, 2, `"no/such" is neither in `},
		{[]string{"diff", l.dest, "latest", "latest", "../.."}, 2, "leads out of the backup"},
		{[]string{"diff", l.dest, "latest", "latest", "binary", "--text"}, 1, "not a text file"},
		{[]string{"diff", l.dest, "latest", "latest", "--text"}, 2, "--text needs a PATH"},
		{[]string{"diff", l.dest + "x", "latest", "latest"}, 10, "no such file"},
		{[]string{"diff", l.dest, "latest", "latest", "no/such", "--text"}, 2, `"no/such" is neither in `},
		{[]string{"history", l.dest, "no/such"}, 2, `"no/such" is in no backup of`},
		{[]string{"history", l.dest, "a/../../b"}, 2, "leads out of the backup"},
	} {
		r := testbin.Run(t, tt.args...)
		first, _, _ := strings.Cut(r.Stderr, "\n")
		if r.Exit != tt.exit || !strings.Contains(first, tt.want) || r.Stdout != "" {
			t.Errorf("%q: exit %d, %q, stdout %q; want exit %d, %q", tt.args, r.Exit, r.Stderr, r.Stdout, tt.exit, tt.want)
		}
	}
}

// TestDiffSymlinkLeadsNowhere: a symlink in a backup is never followed.
func TestDiffSymlinkLeadsNowhere(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Must(t, os.Symlink("/etc", l.path("etc")))
	name := l.snap(t)
	if _, err := rsbtbackup.Diff(t.Context(), l.dest, name, name, rsbtbackup.DiffOptions{Path: "etc/passwd"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("diff: %v", err)
	}
	if _, err := rsbtbackup.History(t.Context(), l.dest, "etc/passwd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("history: %v", err)
	}
	if _, err := rsbtbackup.TextDiff(t.Context(), l.dest, name, name, "etc/passwd"); !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP) {
		t.Errorf("text: %v", err)
	}
}

// TestDiffWritable: a backup of upstream's that was left writable is walked.
func TestDiffWritable(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("a"), "1")
	from := l.snap(t)
	testdest.Write(t, l.path("b"), "1")
	to := l.snap(t)
	last := testdest.OpenDir(t, filepath.Join(l.dest, to))
	testdest.Must(t, errors.Join(btrfs.SetReadOnly(last, false), last.Close()))
	d, err := rsbtbackup.Diff(t.Context(), l.dest, from, to, rsbtbackup.DiffOptions{})
	testdest.Must(t, err)
	if d.Method != rsbtbackup.DiffWalk || show(d.Entries) != "added b\n" {
		t.Errorf("%s:\n%s", d.Method, show(d.Entries))
	}
}

func TestDiffCommand(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	testdest.Write(t, l.path("a"), "one\ntwo\n")
	from := l.snap(t)
	testdest.Write(t, l.path("a"), "one\n2\n")
	testdest.Write(t, l.path("odd\x1b[31m"), "x")
	to := l.snap(t)
	want := "M a (8 B -> 6 B, mtime)\n+ odd\\x1b[31m\n" + from + " to " + to + ": 2 differences\n1 added (1 B), 0 removed (0 B), 1 modified, 0 renamed, 0 metadata only\n"
	if r := testbin.Must(t, "diff", l.dest, from, to); r.Stdout != want {
		t.Errorf("got\n%swant\n%s", r.Stdout, want)
	}
	if r := testbin.Must(t, "diff", l.dest, from, to, "--stat"); !strings.HasPrefix(r.Stdout, from+" to ") {
		t.Errorf("--stat: %s", r.Stdout)
	}
	text := "--- " + from + "/a\n+++ " + to + "/a\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
	if r := testbin.Must(t, "diff", l.dest, from, to, "a", "--text"); r.Stdout != text {
		t.Errorf("--text: got\n%swant\n%s", r.Stdout, text)
	}
	r := testbin.Must(t, "diff", l.dest, from, to, "--json")
	if lines := strings.Split(r.Stdout, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], `{"type":"difference","change":"modified","path":"a","kind":"file","changed":["content","mtime"],"size":6,"old_size":8}`) {
		t.Errorf("--json:\n%s", r.Stdout)
	}
}
