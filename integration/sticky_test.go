//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// TestSymlinksOfOthersInAStickyDirectory: also root may not follow them (fs.protected_symlinks, which most systems
// set), and the kernel says "permission denied" where a symlink is not to be followed at all. What was such a symlink,
// or becomes one, is backed up, compared and restored like any other.
func TestSymlinksOfOthersInAStickyDirectory(t *testing.T) {
	t.Parallel()
	const sysctl = "/proc/sys/fs/protected_symlinks"
	set, err := os.ReadFile(sysctl)
	testdest.Must(t, err)
	testdest.Must(t, os.WriteFile(sysctl, []byte("1"), 0))
	t.Cleanup(func() { testdest.Must(t, os.WriteFile(sysctl, set, 0)) })
	link := func(path string) {
		testdest.Must(t, os.Symlink("/etc", path))
		testdest.Must(t, os.Lchown(path, 1000, 1000))
	}
	for _, tt := range []struct {
		name string
		old  time.Duration // of what is there before a run: young files are looked at again
	}{{"young", 0}, {"settled", 2500 * time.Millisecond}} {
		for _, below := range []string{"", "tmp"} {
			t.Run(tt.name+" in "+filepath.Join("SRC", below), func(t *testing.T) {
				t.Parallel()
				dest, src := testdest.New(t, "2G"), t.TempDir()
				dir := filepath.Join(src, below)
				testdest.Must(t, os.MkdirAll(dir, 0o755))
				testdest.Must(t, os.Chmod(dir, 0o777|os.ModeSticky))
				link(dir + "/was")
				testdest.Write(t, dir+"/becomes/file", "1")
				testdest.Write(t, dir+"/becomes/below/file", "1")
				testdest.Write(t, dir+"/other", "1")
				time.Sleep(tt.old)
				testdest.WantSame(t, src, testdest.Backup(t, src, dest))
				testdest.Must(t, os.Remove(dir+"/was"))
				testdest.Write(t, dir+"/was/file", "2")
				testdest.Write(t, dir+"/was/below/file", "2")
				testdest.Must(t, os.RemoveAll(dir+"/becomes"))
				link(dir + "/becomes")
				time.Sleep(tt.old)
				second := testdest.Backup(t, src, dest)
				testdest.WantSame(t, src, second)
				testbin.Must(t, "diff", dest, "latest~1", "latest")
				testbin.Must(t, "diff", dest, "latest", "latest~1")
				testbin.Must(t, "verify", dest)
				for _, r := range []struct {
					args   []string
					exit   int
					before bool // the target is the backup before
				}{
					{[]string{"--reflink"}, 0, false},
					{[]string{"--no-reflink"}, 0, false},
					{[]string{"--no-reflink", "--overwrite=if-changed", "--delete"}, 0, true},
					{[]string{"--no-reflink", "--overwrite=never"}, 3, true}, // a directory stays where the backup has a symlink
				} {
					target := dest + "-restored" + strings.Join(r.args, "")
					if r.before {
						testbin.Must(t, "restore", dest, "latest~1", "--no-reflink", "-t", target)
					}
					got := testbin.Run(t, append([]string{"restore", dest, "latest", "-t", target}, r.args...)...)
					if got.Exit != r.exit {
						t.Errorf("restore %q: exit %d, want %d\n%s", r.args, got.Exit, r.exit, got.Stderr)
					}
					if r.exit == 0 {
						testdest.WantSame(t, second, target)
					}
				}
			})
		}
	}
}
