//go:build integration

package differential

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// rsync calls the kernel with whole paths, so it cannot read what lies deeper than PATH_MAX (4,096 bytes). The backup
// must then say that it is incomplete and hold everything else, whether the deep part was there from the start or comes
// later, and be complete again once it is gone.
func TestDeeperThanPathMax(t *testing.T) {
	for _, m := range modes()[:3] {
		t.Run(m.name, func(t *testing.T) {
			mount := loopfs.New(t, "1G")
			source, dest := filepath.Join(mount, "source"), filepath.Join(mount, "dest")
			if err := os.Mkdir(source, 0o755); err != nil {
				t.Fatal(err)
			}
			newDest(t, dest)
			apply(t, source, []step{"mkdir d", "write a 20000 A 1", "write d/b 20000 B 2", "write gone 10 C 3"})
			first := backUpAndCompare(t, m, source, dest, 1)
			want, err := readManifest(first)
			if err != nil {
				t.Fatal(err)
			}

			makeDeep(t, filepath.Join(source, "d"), 20)
			apply(t, source, []step{"write a 20000 X 4", "write d/b 30000 Y 5"})
			second := backUpIncomplete(t, m, source, dest, 2)
			for _, name := range []string{"a", "d/b"} {
				sameContent(t, filepath.Join(source, name), filepath.Join(second, name))
			}
			again, err := readManifest(first)
			if err != nil {
				t.Fatal(err)
			}
			if again.sum != want.sum {
				_, text := want.diff(again, 5)
				t.Errorf("the first backup changed:\n%s", text)
			}

			if err := os.RemoveAll(filepath.Join(source, "d", deepName)); err != nil {
				t.Fatal(err)
			}
			apply(t, source, []step{"remove gone"})
			backUpAndCompare(t, m, source, dest, 3)
		})
	}
}

func backUpIncomplete(t *testing.T, m mode, source, dest string, n int) string {
	t.Helper()
	o := rsbtbackup.BackupOptions{Source: source, Dest: dest, Now: time.Date(2000, 1, 1, 0, n, 0, 0, time.Local)}
	m.set(&o, nil)
	report, err := rsbtbackup.Backup(t.Context(), o)
	if !errors.Is(err, rsbtbackup.ErrIncomplete) || report.Status != rsbtbackup.Incomplete || report.RsyncExit != 23 {
		t.Fatalf("error %v, status %q, rsync %d; want an incomplete backup\n%q", err, report.Status, report.RsyncExit, report.Complaints)
	}
	list, err := rsbtbackup.List(t.Context(), dest)
	if err != nil {
		t.Fatal(err)
	}
	newest := list.Backups[len(list.Backups)-1]
	if newest.Name != report.Name || newest.Status != rsbtbackup.Incomplete || newest.Current {
		t.Errorf("listed as %+v", newest)
	}
	if len(report.Complaints) == 0 || !strings.Contains(strings.Join(report.Complaints, "\n"), "dddd") {
		t.Errorf("rsync complained of %q, which does not name the deep path", report.Complaints)
	}
	return filepath.Join(dest, report.Name)
}

var deepName = strings.Repeat("d", 250)

// makeDeep makes a chain of directories below dir, and a file in each, without naming a long path.
func makeDeep(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range depth {
		next, err := makeLevel(fd)
		_ = unix.Close(fd) // only a name was made through it
		if err != nil {
			t.Fatalf("level %d: %v", i, err)
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}

func makeLevel(fd int) (next int, err error) {
	if err := unix.Mkdirat(fd, deepName, 0o755); err != nil {
		return 0, fmt.Errorf("mkdirat: %w", err)
	}
	next, err = unix.Openat(fd, deepName, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("openat: %w", err)
	}
	file, err := unix.Openat(next, "file", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return 0, fmt.Errorf("openat: %w", err)
	}
	_, err = unix.Write(file, []byte("deep"))
	return next, errors.Join(err, unix.Close(file))
}
