//go:build integration

package differential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// A step is done to the source: "write NAME SIZE BYTE TIME", "link OLD NEW", "split NAME" (cp -p and rename over),
// "swap A B", "remove NAME", "chmod NAME MODE", "acl NAME", "symlink NAME TARGET", and "mkdir", "fifo", "chardev" or
// "blockdev" with NAME.
type step string

// linkCases begin with names that are one file, are backed up, and change. rsync -H --inplace is known to write the
// updates of all names into one inode then, and to exit 0 (rsync issue 537); and any rsync -H lets names stay linked
// that it finds up to date.
var linkCases = []struct {
	name          string
	before, after []step
}{
	{
		"parted, same size",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b", "write a 20000 X 2", "write b 20000 Y 3"},
	},
	{
		"parted, one changed, same size",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b", "write b 20000 Y 2"},
	},
	{
		"parted, the other changed, same size",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b", "write a 20000 Y 2"},
	},
	{
		"parted, other sizes",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b", "write a 9000 X 2", "write b 40000 Y 3"},
	},
	{
		"parted, nothing else changed",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b"},
	},
	{
		"parted, only the mode changed",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b", "chmod b 600"},
	},
	{
		"three names, one parted",
		[]step{"write a 20000 A 1", "link a b", "link a c"},
		[]step{"split b", "write b 20000 Y 2", "write a 20000 X 3"},
	},
	{
		"three names, all parted",
		[]step{"write a 20000 A 1", "link a b", "link a c"},
		[]step{"split b", "split c", "write a 20000 X 2", "write b 20000 Y 3", "write c 20000 Z 4"},
	},
	{
		"parted and swapped",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"split b", "write a 20000 X 2", "write b 20000 Y 3", "swap a b"},
	},
	{
		"across directories",
		[]step{"mkdir d", "mkdir e", "write d/a 20000 A 1", "link d/a e/a", "link d/a top"},
		[]step{"split e/a", "write d/a 20000 X 2", "write e/a 20000 Y 3"},
	},
	{
		"relinked in other pairs",
		[]step{"write a 20000 A 1", "link a b", "write c 20000 C 2", "link c d"},
		[]step{"remove b", "remove d", "link c b", "link a d", "write a 20000 X 3", "write c 20000 Y 4"},
	},
	{
		"joined",
		[]step{"write a 20000 A 1", "write b 20000 B 2"},
		[]step{"remove b", "link a b", "write a 20000 X 3"},
	},
	{
		"still linked, changed",
		[]step{"write a 20000 A 1", "link a b"},
		[]step{"write a 20000 X 2"},
	},
	{
		"parted, then parted names linked to new ones",
		[]step{"write a 20000 A 1", "link a z"},
		[]step{"split z", "write z 20000 Z 2", "link z b", "link a c", "write a 20000 X 3"},
	},
	{
		// rsync 3.5.0 with -H and -A asks the new file for the default ACL of the directory it was, and exits 23
		// although all is copied.
		"a directory became a second name",
		[]step{"write a 20000 A 1", "mkdir b"},
		[]step{"remove b", "link a b"},
	},
	{
		"a fifo with two names parted",
		[]step{"fifo a", "link a b"},
		[]step{"remove b", "fifo b", "chmod b 600"},
	},
	{
		"a device with two names parted",
		[]step{"chardev a", "link a b"},
		[]step{"remove b", "blockdev b"},
	},
	{
		"a symlink with two names parted",
		[]step{"symlink a x", "link a b"},
		[]step{"remove b", "symlink b x"},
	},
	{
		// rsync 3.5.0 with -A empties the group's own entry of an ACL that is given to a file with a set-id bit.
		"a set-id file got an ACL",
		[]step{"write a 20000 A 1", "chmod a 4755"},
		[]step{"chmod a 640", "acl a"},
	},
	{
		// rsync compares the numbers of devices, not which of the two kinds they are.
		"a device became the other kind",
		[]step{"chardev a"},
		[]step{"remove a", "blockdev a"},
	},
	{
		"a file and a device swapped, both with two names",
		[]step{"write a 20000 A 1", "link a b", "chardev c", "link c d"},
		[]step{"swap a c", "remove b", "link a b"},
	},
}

func TestHardLinksThatAreSplit(t *testing.T) {
	mount := loopfs.New(t, "2G")
	for i, c := range linkCases {
		for j, m := range append(modes()[:3], sparseMode()) {
			t.Run(c.name+"/"+m.name, func(t *testing.T) {
				base := filepath.Join(mount, fmt.Sprintf("%d-%d", i, j))
				source, dest := filepath.Join(base, "source"), filepath.Join(base, "dest")
				if err := os.MkdirAll(source, 0o755); err != nil {
					t.Fatal(err)
				}
				newDest(t, dest)
				apply(t, source, c.before)
				backUpAndCompare(t, m, source, dest, 1)
				apply(t, source, c.after)
				backUpAndCompare(t, m, source, dest, 2)
			})
		}
	}
}

func newDest(t *testing.T, dest string) {
	t.Helper()
	if err := os.Mkdir(dest, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := rsbtbackup.Init(t.Context(), dest, rsbtbackup.InitOptions{}); err != nil {
		t.Fatal(err)
	}
}

// backUpAndCompare makes the n-th backup and compares it with the source, which holds still.
func backUpAndCompare(t *testing.T, m mode, source, dest string, n int) string {
	t.Helper()
	path := backUpIn(t, m, source, dest, n)
	want, err := readManifest(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	if wrong, text := want.diff(got, 10); len(wrong) > 0 {
		t.Fatalf("backup %d is wrong in %d bytes:\n%s", n, wrongBytes(source, path, wrong), text)
	}
	return path
}

// backUp makes the n-th backup in the default mode and returns its path.
func backUp(t *testing.T, source, dest string, n int) string {
	t.Helper()
	return backUpIn(t, modes()[0], source, dest, n)
}

func backUpIn(t *testing.T, m mode, source, dest string, n int) string {
	t.Helper()
	o := rsbtbackup.BackupOptions{Source: source, Dest: dest, Now: time.Date(2000, 1, 1, 0, n, 0, 0, time.Local)}
	m.set(&o, rand.New(rand.NewPCG(1, 1)))
	report, err := rsbtbackup.Backup(t.Context(), o)
	if err != nil {
		t.Fatalf("backup %d: %v", n, err)
	}
	return filepath.Join(dest, report.Name)
}

func apply(t *testing.T, root string, steps []step) {
	t.Helper()
	for _, s := range steps {
		if err := s.apply(root); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (s step) apply(root string) error {
	verb, rest, _ := strings.Cut(string(s), " ")
	words := strings.Fields(rest)
	path := func(i int) string { return filepath.Join(root, words[i]) }
	switch verb {
	case "write":
		var size, minute int
		if _, err := fmt.Sscan(words[1]+" "+words[3], &size, &minute); err != nil {
			return err
		}
		if err := os.WriteFile(path(0), []byte(strings.Repeat(words[2], size)), 0o644); err != nil {
			return err
		}
		at := time.Date(1999, 1, 1, 0, minute, 0, minute, time.UTC)
		return os.Chtimes(path(0), at, at)
	case "link":
		return os.Link(path(0), path(1))
	case "split":
		return splitByCopy(path(0))
	case "swap":
		return swapByRename(path(0), path(1))
	case "remove":
		return os.Remove(path(0))
	case "mkdir":
		return os.Mkdir(path(0), 0o755)
	case "acl":
		// user::rw-, user:1000:r--, group::r--, mask::r--, other::---
		acl := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xe8\x03\x00\x00" +
			"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
		return unix.Setxattr(path(0), accessACL, []byte(acl), 0)
	case "symlink":
		return os.Symlink(words[1], path(0))
	case "fifo":
		return unix.Mknod(path(0), unix.S_IFIFO|0o640, 0)
	case "chardev":
		return unix.Mknod(path(0), unix.S_IFCHR|0o640, int(unix.Mkdev(1, 3)))
	case "blockdev":
		return unix.Mknod(path(0), unix.S_IFBLK|0o640, int(unix.Mkdev(1, 3)))
	case "chmod":
		var mode uint32
		if _, err := fmt.Sscanf(words[1], "%o", &mode); err != nil {
			return err
		}
		return unix.Chmod(path(0), mode)
	}
	return fmt.Errorf("unknown step")
}

func splitByCopy(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	temp := path + ".split"
	if err := os.WriteFile(temp, data, info.Mode()); err != nil {
		return err
	}
	if err := os.Chtimes(temp, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func swapByRename(a, b string) error {
	for _, pair := range [][2]string{{a, a + ".swap"}, {b, a}, {a + ".swap", b}} {
		if err := os.Rename(pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}
