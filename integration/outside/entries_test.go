//go:build integration

package outside

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// Whatever somebody has put in the place of an entry of .log that a run can do without, no verb fails. It is moved
// aside with what is in it.
func TestEntriesOfAnotherKindAreMovedAside(t *testing.T) {
	t.Parallel()
	disk := loopfs.New(t, "1G")
	src := newSource(t)
	kinds := map[string]func(path string) error{
		"directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "of", "somebody"), 0o755) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"symlink":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"loop":      func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"file":      func(path string) error { return os.WriteFile(path, []byte("garbage"), 0o600) },
	}
	names := []string{"pending.json", "pending.catalog", "catalog", "rsync.json", "holder.json", "held.json", "pruned.json", "reserve", "incoming", "activity.log", "activity.log.1", ".new-pending.json", ".new-catalog", "records/.new-x.json"}
	for kind, put := range kinds {
		dest := testdest.Init(t, filepath.Join(disk, kind))
		testdest.Write(t, filepath.Join(src, "file"), kind)
		backup(t, 0, src, dest)
		for _, args := range [][]string{{"list", dest}, {"check", dest}, {"pin", dest, "latest"}, {"backup", src, dest}, {"backup", src, dest}, {"unpin", dest, "latest~2"}, {"prune", dest, "--keep-last=2"}, {"delete", dest, "latest~1"}} {
			for _, name := range names {
				path := filepath.Join(dest, ".log", name)
				testdest.Must(t, os.RemoveAll(path))
				testdest.Must(t, put(path))
			}
			want := 0
			if args[0] == "check" && kind != "file" {
				want = 1 // it names the log
			}
			if r := testbin.Run(t, args...); r.Exit != want {
				t.Errorf("every entry is a %s: %q: exit %d, want %d\n%s%s", kind, args, r.Exit, want, r.Stdout, r.Stderr)
			}
		}
		if kind != "directory" {
			continue
		}
		for _, name := range names {
			aside, err := filepath.Glob(filepath.Join(dest, ".log", strings.ReplaceAll(name, ".new-", "")+".was-*", "of", "somebody"))
			if err != nil || len(aside) == 0 {
				t.Errorf("%s: moved aside: %q, %v", name, aside, err)
			}
		}
	}
	t.Run("something in incoming", func(t *testing.T) {
		dest := testdest.On(t, disk)
		testdest.Write(t, filepath.Join(dest, ".log", "incoming", "file"), "of somebody")
		backup(t, 0, src, dest)
		aside, err := filepath.Glob(filepath.Join(dest, ".log", "incoming.was-*", "file"))
		if err != nil || len(aside) != 1 {
			t.Errorf("moved aside: %q, %v", aside, err)
		}
	})
}
