//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

var oddNames = []struct{ what, name string }{
	{"colon", "host:path"},
	{"two colons", "host::module"},
	{"URL", "rsync:"},
	{"space", " a b "},
	{"newline", "new\nline\n"},
	{"leading dash", "-n"},
	{"long option", "--exclude=*"},
	{"quotes", `'"$(id)` + "`id`"},
	{"filter characters", `*?[x]\`},
	{"escape sequence", "\x1b[31mred"},
	{"invalid UTF-8", "\xff\xfe\xc3("},
	{"longest", strings.Repeat("long", 63) + "end"},
	{"tilde", "~root"},
	{"leading hash", "#;!"},
}

func TestAnyNameIsASourceAndADest(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "2G")
	for _, tt := range oddNames {
		t.Run(tt.what, func(t *testing.T) {
			src := filepath.Join(disk, "sources", tt.name)
			dest := filepath.Join(disk, "dests", tt.name)
			testdest.Write(t, filepath.Join(src, tt.name), tt.what)
			testdest.Write(t, filepath.Join(src, "in", tt.name, "file"), tt.what)
			testdest.MakeDir(t, dest)
			testbin.Must(t, "init", dest)
			testdest.WantSame(t, src, testdest.Backup(t, src, dest))
			testdest.Write(t, filepath.Join(src, tt.name), "changed")
			testdest.WantSame(t, src, testdest.Backup(t, src, dest))
			wantTidy(t, dest)
			if got := newest(t, dest, 2).Record.Source; !strings.Contains(tt.what, "UTF-8") && got != src {
				t.Errorf("recorded source %q, want %q", got, src)
			}
			wantNoControls(t, testbin.Must(t, "-v", "backup", src, dest), dest)
			wantNoControls(t, testbin.Must(t, "list", dest, "-v"), dest)
		})
	}
}

func TestFilesOfAnyNameAreBackedUp(t *testing.T) {
	t.Parallel()
	src, dest := t.TempDir(), testdest.New(t, "2G")
	addEveryName(t, src)
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	testdest.Must(t, os.RemoveAll(src+"/in"))
	testdest.WantSame(t, src, testdest.Backup(t, src, dest))
	wantNoControls(t, testbin.Must(t, "-v", "backup", src, dest), dest)
	wantNoControls(t, testbin.Must(t, "-v", "backup", "--dry-run", src, dest), dest)
}

// addEveryName makes files of every odd name, and of every byte a name can have.
func addEveryName(t testing.TB, dir string) {
	t.Helper()
	for _, odd := range oddNames {
		testdest.Write(t, filepath.Join(dir, "in", odd.name), odd.what)
		testdest.Write(t, filepath.Join(dir, "dirs", odd.name, "file"), odd.what)
	}
	for b := 1; b < 256; b++ {
		if b != '/' && b != '.' {
			testdest.Write(t, filepath.Join(dir, "bytes", string([]byte{byte(b)})), "x")
		}
	}
}

// wantNoControls: nothing that came from a name drives the terminal, or forges a line of the log.
func wantNoControls(t testing.TB, r testbin.Result, dest string) {
	t.Helper()
	log := testdest.Read(t, filepath.Join(dest, ".log", "activity.log"))
	for what, text := range map[string]string{"stdout": r.Stdout, "stderr": r.Stderr, "activity.log": log} {
		for _, b := range []byte(text) {
			if b < ' ' && b != '\n' && b != '\t' || b == 0x7f {
				t.Errorf("%s holds the byte %#x: %q", what, b, clip(text))
				break
			}
		}
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of the log that no event wrote: %q", line)
		}
	}
}

func TestPathsMayBeRelative(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	for _, tt := range []struct{ what, src, dest string }{
		{"plain", "src", "dest"},
		{"dots", "../here/src/.", "./dest/../dest/"},
		{"leading dash", "./-src", "./-dest"},
		{"colon after a dot", "./a:b", "c:d"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			here := invocation{dir: filepath.Join(disk, tt.what, "here")}
			src, dest := filepath.Join(here.dir, tt.src), filepath.Join(here.dir, tt.dest)
			testdest.Write(t, filepath.Join(src, "file"), tt.what)
			testdest.MakeDir(t, dest)
			here.must(t, "init", tt.dest)
			here.must(t, "backup", tt.src, tt.dest)
			here.must(t, "list", tt.dest)
			testdest.WantSame(t, src, filepath.Join(dest, testdest.Current(t, dest)))
			if got := newest(t, dest, 1).Record.Source; got != src {
				t.Errorf("recorded source %q, want %q", got, src)
			}
		})
	}
	t.Run("the working directory", func(t *testing.T) {
		here := invocation{dir: filepath.Join(disk, "wd")}
		dest := filepath.Join(disk, "of wd")
		testdest.Write(t, here.dir+"/file", "x")
		testdest.MakeDir(t, dest)
		invocation{dir: dest}.must(t, "init", ".")
		here.must(t, "backup", ".", dest)
		testdest.WantSame(t, here.dir, filepath.Join(dest, testdest.Current(t, dest)))
	})
}

// What a symbolic link given as SRC names is backed up, not the link; and backups go where the link given as DEST
// leads.
func TestSourceAndDestMayBeSymlinks(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	src, dest := disk+"/real src", disk+"/real dest"
	testdest.Write(t, src+"/file", "x")
	testdest.MakeDir(t, dest)
	testdest.Must(t, os.Symlink("real src", disk+"/src"))
	testdest.Must(t, os.Symlink(dest, disk+"/dest"))
	testbin.Must(t, "init", disk+"/dest")
	testdest.WantSame(t, src, testdest.Backup(t, disk+"/src", disk+"/dest"))
	testdest.WantSame(t, src, testdest.Backup(t, disk+"/src/", disk+"/dest/"))
	newest(t, dest, 2)
	wantTidy(t, dest)
}

// A link that leads around must not hide that one lies in the other.
func TestAnOverlapThroughASymlinkIsSeen(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	testdest.Write(t, disk+"/src/file", "x")
	testdest.MakeDir(t, disk+"/src/dest")
	testdest.Must(t, os.Symlink("src/dest", disk+"/link"))
	testbin.Must(t, "init", disk+"/link")
	if r := testbin.Run(t, "backup", disk+"/src", disk+"/link"); r.Exit != 13 {
		t.Errorf("exit %d, want 13: %s", r.Exit, r.Stderr)
	}
	testdest.WantSame(t, disk+"/src", testdest.Backup(t, disk+"/src", disk+"/link", "--force"), "--exclude=/dest")
}
