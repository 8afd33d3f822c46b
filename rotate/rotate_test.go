package rotate_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/rotate"
)

const name = "activity.log"

func TestRotation(t *testing.T) {
	tests := []struct {
		title   string
		records []string
		log     string
		old     string
	}{
		{"fits exactly", []string{"aaaa\n", "bbbb\n"}, "aaaa\nbbbb\n", ""},
		{"one byte too many", []string{"aaaa\n", "bbbbb\n"}, "bbbbb\n", "aaaa\n"},
		{"one old file is kept", []string{"aaaaaaa\n", "bbbbbbb\n", "ccccccc\n"}, "ccccccc\n", "bbbbbbb\n"},
		{"a record is not split", []string{"aaaaa\n", "b\nb\nb\n"}, "b\nb\nb\n", "aaaaa\n"},
		{"larger than the limit", []string{"aaaa\n", "bbbbbbbbbbbbbbb\n", "c\n"}, "c\n", "bbbbbbbbbbbbbbb\n"},
		{"larger than the limit, first", []string{"bbbbbbbbbbbbbbb\n"}, "bbbbbbbbbbbbbbb\n", ""},
		{"missing newline is added", []string{"a", "b"}, "a\nb\n", ""},
		{"the added newline counts", []string{"aaaa", "bbbbb"}, "bbbbb\n", "aaaa\n"},
		{"empty record", []string{"a\n", "", "b\n"}, "a\nb\n", ""},
	}
	for _, test := range tests {
		t.Run(test.title, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			log := open(t, path, rotate.Options{MaxSize: 10})
			for _, record := range test.records {
				write(t, log, record)
			}
			if diff := cmp.Diff([2]string{test.log, test.old}, [2]string{read(t, path), read(t, path+".1")}); diff != "" {
				t.Errorf("log and old log (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	log := open(t, path, rotate.Options{})
	write(t, log, strings.Repeat("x", 999_989)+"\n")
	write(t, log, "123456789\n")
	wantSize(t, path, 999_990+10)
	write(t, log, "\n")
	wantSize(t, path, 1)
	wantSize(t, path+".1", 1_000_000)
	wantMode(t, path, 0o600)
	wantMode(t, path+".1", 0o600)
}

func TestAppendsToWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	put(t, path, "old\n", 0o600)
	write(t, open(t, path, rotate.Options{}), "new\n")
	wantContent(t, path, "old\nnew\n")
}

func TestTornLastLineIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	put(t, path, "whole\ntor", 0o600)
	write(t, open(t, path, rotate.Options{}), "new\n")
	wantContent(t, path, "whole\ntor\nnew\n")
}

func TestWideModeIsNarrowed(t *testing.T) {
	for _, test := range []struct{ mode, perm, want fs.FileMode }{
		{0o644, 0, 0o600},
		{0o666, 0o640, 0o640},
		{0o600, 0o640, 0o600},
		{0o660, 0o644, 0o640},
	} {
		path := filepath.Join(t.TempDir(), name)
		put(t, path, "", test.mode)
		open(t, path, rotate.Options{Perm: test.perm})
		wantMode(t, path, test.want)
	}
}

// Anything that another user could put at the name is refused and not changed.
func TestHostileNames(t *testing.T) {
	tests := []struct {
		title string
		make  func(t *testing.T, path, victim string)
	}{
		{"symbolic link", func(t *testing.T, path, victim string) { must(t, os.Symlink(victim, path)) }},
		{"dangling link", func(t *testing.T, path, victim string) { must(t, os.Symlink(victim+".new", path)) }},
		{"hard link", func(t *testing.T, path, victim string) { must(t, os.Link(victim, path)) }},
		{"FIFO", func(t *testing.T, path, _ string) { must(t, unix.Mkfifo(path, 0o644)) }},
		{"directory", func(t *testing.T, path, _ string) { must(t, os.Mkdir(path, 0o755)) }},
		{"socket", func(t *testing.T, path, _ string) { must(t, unix.Mknod(path, unix.S_IFSOCK|0o644, 0)) }},
		{"foreign owner", func(t *testing.T, path, _ string) {
			if os.Geteuid() != 0 {
				t.Skip("needs root to make a file of another owner")
			}
			put(t, path, "", 0o644)
			must(t, os.Chown(path, 65534, 65534))
		}},
	}
	for _, test := range tests {
		t.Run(test.title, func(t *testing.T) {
			dir := t.TempDir()
			path, victim := filepath.Join(dir, name), filepath.Join(dir, "victim")
			put(t, victim, "precious\n", 0o644)
			test.make(t, path, victim)
			before := mode(t, path)

			_, err := openAt(t, path, rotate.Options{})
			if !errors.Is(err, rotate.ErrUnsafe) || !strings.Contains(fmt.Sprint(err), path) {
				t.Errorf("OpenAt: %v, want ErrUnsafe naming %s", err, path)
			}
			wantContent(t, victim, "precious\n")
			wantMode(t, victim, 0o644)
			if after := mode(t, path); after != before {
				t.Errorf("mode changed from %v to %v", before, after)
			}
			if _, err := os.Stat(victim + ".new"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the link was followed: %v", err)
			}
		})
	}
}

// Root works in the directory of another user, who must be able to go on.
func TestRootGivesTheLogToTheOwnerOfTheDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const user, third = 65534, 65533
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	must(t, os.Chown(dir, user, user))
	log := open(t, path, rotate.Options{MaxSize: 5})
	write(t, log, "aaaa\n") // made here
	write(t, log, "bbbb\n") // made by a rotation
	for _, path := range []string{path, path + ".1"} {
		wantOwner(t, path, user)
		wantMode(t, path, 0o600)
	}
	write(t, open(t, path, rotate.Options{}), "cccc\n") // there already
	wantContent(t, path, "bbbb\ncccc\n")
	wantOwner(t, path, user)

	must(t, os.Chown(path, 0, 0)) // what root has put there stays root's
	write(t, open(t, path, rotate.Options{}), "dddd\n")
	wantOwner(t, path, 0)

	must(t, os.Chown(path, third, third))
	if _, err := openAt(t, path, rotate.Options{}); !errors.Is(err, rotate.ErrUnsafe) {
		t.Errorf("the log of a third user: %v, want ErrUnsafe", err)
	}
	wantOwner(t, path, third)
	wantContent(t, path, "bbbb\ncccc\ndddd\n")

	must(t, os.Chown(path, user, user))
	must(t, os.Link(path, path+".link"))
	if _, err := openAt(t, path, rotate.Options{}); !errors.Is(err, rotate.ErrUnsafe) {
		t.Errorf("a log with two names: %v, want ErrUnsafe", err)
	}
}

func wantOwner(t *testing.T, path string, want uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
		t.Errorf("%s belongs to user %d, want %d", path, got, want)
	}
}

func TestHostileNameWhileOpen(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, name), filepath.Join(dir, "victim")
	put(t, victim, "precious\n", 0o600)
	log := open(t, path, rotate.Options{})
	must(t, os.Remove(path))
	must(t, os.Symlink(victim, path))

	if n, err := log.Write([]byte("x\n")); n != 0 || !errors.Is(err, rotate.ErrUnsafe) {
		t.Errorf("Write = %d, %v; want 0, ErrUnsafe", n, err)
	}
	wantContent(t, victim, "precious\n")

	must(t, os.Remove(path))
	write(t, log, "y\n")
	wantContent(t, path, "y\n")
}

func TestRemovedOrMovedLogIsBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	log := open(t, path, rotate.Options{})
	write(t, log, "a\n")
	must(t, os.Rename(path, path+".moved"))
	write(t, log, "b\n")
	must(t, os.Remove(path))
	write(t, log, "c\n")
	wantContent(t, path+".moved", "a\n")
	wantContent(t, path, "c\n")
}

func TestOldNameIsReplacedNotFollowed(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, name), filepath.Join(dir, "victim")
	put(t, victim, "precious\n", 0o600)
	for _, make := range []func() error{
		func() error { return os.Symlink(victim, path+".1") },
		func() error { return unix.Mkfifo(path+".1", 0o600) },
		func() error { return os.Link(victim, path+".1") },
	} {
		must(t, make())
		put(t, path, "aaaa\n", 0o600)
		log := open(t, path, rotate.Options{MaxSize: 5})
		write(t, log, "bbbb\n")
		wantContent(t, path, "bbbb\n")
		wantContent(t, path+".1", "aaaa\n")
		wantContent(t, victim, "precious\n")
		must(t, os.Remove(path+".1"))
	}
}

func TestFailedRotationStillWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), name)
	log := open(t, path, rotate.Options{MaxSize: 5})
	write(t, log, "aaaa\n")
	must(t, os.Mkdir(path+".1", 0o700))

	n, err := log.Write([]byte("bbbb\n"))
	var link *os.LinkError
	if n != 5 || !errors.As(err, &link) || link.Op != "renameat" || link.New != path+".1" {
		t.Errorf("Write = %d, %v; want 5 and a *os.LinkError of renameat to %s.1", n, err, path)
	}
	wantContent(t, path, "aaaa\nbbbb\n")

	must(t, os.Remove(path+".1"))
	write(t, log, "cccc\n")
	wantContent(t, path, "cccc\n")
	wantContent(t, path+".1", "aaaa\nbbbb\n")
}

func TestDirectoryMayBeClosedAndRenamed(t *testing.T) {
	parent := t.TempDir()
	must(t, os.Mkdir(filepath.Join(parent, "before"), 0o700))
	log := open(t, filepath.Join(parent, "before", name), rotate.Options{MaxSize: 5})
	must(t, os.Rename(filepath.Join(parent, "before"), filepath.Join(parent, "after")))
	write(t, log, "aaaa\n")
	write(t, log, "bbbb\n")
	wantContent(t, filepath.Join(parent, "after", name), "bbbb\n")
	wantContent(t, filepath.Join(parent, "after", name+".1"), "aaaa\n")
}

func TestBadNames(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	must(t, err)
	defer dir.Close()
	for _, bad := range []string{"", ".", "..", "a/b", "/etc/x", "a\x00b"} {
		if _, err := rotate.OpenAt(dir, bad, rotate.Options{}); !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("OpenAt(%q): %v, want EINVAL", bad, err)
		}
	}
}

func TestClosed(t *testing.T) {
	log := open(t, filepath.Join(t.TempDir(), name), rotate.Options{})
	must(t, log.Close())
	if _, err := log.Write([]byte("x\n")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write: %v, want ErrClosed", err)
	}
	if err := log.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close: %v, want ErrClosed", err)
	}
}

func openAt(t testing.TB, path string, o rotate.Options) (*rotate.File, error) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(path))
	must(t, err)
	defer dir.Close()
	return rotate.OpenAt(dir, filepath.Base(path), o)
}

func open(t testing.TB, path string, o rotate.Options) *rotate.File {
	t.Helper()
	log, err := openAt(t, path, o)
	must(t, err)
	t.Cleanup(func() { log.Close() })
	return log
}

func write(t testing.TB, log *rotate.File, record string) {
	t.Helper()
	if n, err := log.Write([]byte(record)); n != len(record) || err != nil {
		t.Fatalf("Write(%d bytes) = %d, %v", len(record), n, err)
	}
}

func put(t testing.TB, path, content string, mode fs.FileMode) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), mode))
	must(t, os.Chmod(path, mode))
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

func mode(t testing.TB, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return info.Mode()
}

func wantContent(t testing.TB, path, want string) {
	t.Helper()
	if got := read(t, path); got != want {
		t.Errorf("%s holds %q, want %q", path, got, want)
	}
}

func wantSize(t testing.TB, path string, want int) {
	t.Helper()
	if got := len(read(t, path)); got != want {
		t.Errorf("%s has %d bytes, want %d", path, got, want)
	}
}

func wantMode(t testing.TB, path string, want fs.FileMode) {
	t.Helper()
	if got := mode(t, path).Perm(); got != want {
		t.Errorf("%s has mode %v, want %v", path, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
