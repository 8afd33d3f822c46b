//go:build integration

package scan

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// trusted are the filesystems whose inode numbers and ctimes the scan uses.
var trusted = []string{"ext4", "btrfs", "xfs", "tmpfs"}

// TestChangesAreSeen does to a tree, on each filesystem, everything that a backup must notice, and puts back size and
// time where it can. What is relied on most: a directory that is renamed has a new ctime itself.
func TestChangesAreSeen(t *testing.T) {
	restoreTime := func(path string, do func() error) error {
		info, err := os.Lstat(path)
		if err == nil {
			err = do()
		}
		return errors.Join(err, os.Chtimes(path, info.ModTime(), info.ModTime()))
	}
	changes := []struct {
		name   string
		do     func(root string) error
		listed string // by itself, with its directory, or as a directory
	}{
		{"write", func(root string) error { return os.WriteFile(root+"/d/f", []byte("y"), 0o644) }, "d/f"},
		{"write, and the time put back", func(root string) error {
			return restoreTime(root+"/d/f", func() error { return os.WriteFile(root+"/d/f", []byte("z"), 0o644) })
		}, "d/f"},
		{"write through a mapping, and the time put back", func(root string) error {
			return restoreTime(root+"/d/f", func() error { return writeMapped(root + "/d/f") })
		}, "d/f"},
		{"write and chmod, and the time put back", func(root string) error {
			return restoreTime(root+"/d/f", func() error {
				return errors.Join(os.WriteFile(root+"/d/f", []byte("a"), 0o644), os.Chmod(root+"/d/f", 0o640))
			})
		}, "d/f"},
		{"write and chown, and the time put back", func(root string) error {
			return restoreTime(root+"/d/f", func() error {
				return errors.Join(os.WriteFile(root+"/d/f", []byte("b"), 0o644), os.Lchown(root+"/d/f", 3, 4))
			})
		}, "d/f"},
		{"write through another name, and the time put back", func(root string) error {
			return restoreTime(root+"/d/f", func() error {
				return errors.Join(os.Link(root+"/d/f", root+"/e/other"), os.WriteFile(root+"/e/other", []byte("c"), 0o644))
			})
		}, "d/f"},
		{"truncate", func(root string) error { return os.Truncate(root+"/d/f", 1<<20) }, "d/f"},
		{"touch", func(root string) error { return os.Chtimes(root+"/d/f", time.Now(), time.Unix(1, 0)) }, "d/f"},
		{"chmod", func(root string) error { return os.Chmod(root+"/d/f", 0o600) }, "d/f"},
		{"chown", func(root string) error { return os.Lchown(root+"/d/f", 1, 2) }, "d/f"},
		{"chown of a symlink", func(root string) error { return os.Lchown(root+"/d/link", 1, 2) }, "d/link"},
		{"attribute", func(root string) error { return unix.Setxattr(root+"/d/f", "trusted.x", []byte("1"), 0) }, "d/f"},
		{"attribute of a directory", func(root string) error { return unix.Setxattr(root+"/d", "trusted.x", []byte("1"), 0) }, "d"},
		{"attribute removed", func(root string) error { return unix.Removexattr(root+"/d/f", "trusted.x") }, "d/f"},
		{"link", func(root string) error { return os.Link(root+"/d/f", root+"/e/f") }, "d/f"},
		{"unlink of the other name", func(root string) error { return os.Remove(root + "/e/f") }, "d/f"},
		{"new file", func(root string) error { return os.WriteFile(root+"/d/new", nil, 0o644) }, "d"},
		{"rename of a file", func(root string) error { return os.Rename(root+"/d/new", root+"/d/newer") }, "d"},
		{"rename over", func(root string) error { return os.Rename(root+"/d/newer", root+"/d/f") }, "d"},
		{"unlink", func(root string) error { return os.Remove(root + "/d/f") }, "d"},
		{"exchange", func(root string) error {
			return unix.Renameat2(unix.AT_FDCWD, root+"/d/g", unix.AT_FDCWD, root+"/e/g", unix.RENAME_EXCHANGE)
		}, "e"},
		{"a symlink leads elsewhere", func(root string) error {
			return errors.Join(os.Remove(root+"/d/link"), os.Symlink("hh", root+"/d/link"))
		}, "d"},
		{"another node", func(root string) error {
			return errors.Join(os.Remove(root+"/d/node"), unix.Mknod(root+"/d/node", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5))))
		}, "d"},
		{"rename of a directory and back", func(root string) error {
			return errors.Join(os.Rename(root+"/e", root+"/away"), os.Rename(root+"/away", root+"/e"))
		}, "e"},
		{"move of a directory and back", func(root string) error {
			return errors.Join(os.Rename(root+"/e/sub", root+"/d/sub"), os.Rename(root+"/d/sub", root+"/e/sub"))
		}, "e/sub"},
		{"exchange of directories", func(root string) error {
			return unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/e/sub", unix.RENAME_EXCHANGE)
		}, "e/sub"},
		{"another directory of that name", func(root string) error { return errors.Join(os.RemoveAll(root+"/d"), os.Mkdir(root+"/d", 0o755)) }, "d"},
	}
	for _, fstype := range trusted {
		t.Run(fstype, func(t *testing.T) {
			root := loopfs.NewFS(t, "512M", fstype)
			must(t, errors.Join(os.MkdirAll(root+"/e/sub/deep", 0o755), os.Mkdir(root+"/d", 0o755)))
			for _, name := range []string{"d/f", "d/g", "d/h", "d/i", "e/g"} {
				must(t, os.WriteFile(filepath.Join(root, name), []byte("x"), 0o644))
			}
			must(t, errors.Join(os.Symlink("gg", root+"/d/link"), unix.Mknod(root+"/d/node", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))))
			unix.Sync() // or a mapped page may be written to without anybody noticing
			_, known := walkTree(t, root, Options{}, nil)
			for _, c := range changes {
				quiet()
				if err := c.do(root); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				var res *Result
				res, known = walkTree(t, root, Options{}, known)
				l := res.List
				if !slices.Contains(slices.Concat(l.Dirs, l.Fresh, l.Names), c.listed) && !slices.Contains(l.Dirs, catalog.Parent(c.listed)) {
					t.Errorf("%s is not seen: %+v", c.name, l)
				}
				if strings.HasSuffix(c.name, "time put back") && !slices.Contains(l.Doubtful, c.listed) {
					t.Errorf("%s is not doubted: %+v", c.name, l)
				}
			}
		})
	}
}

func writeMapped(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	mapped[0]++
	return unix.Munmap(mapped)
}

// A catalog can be used after a remount, under another device number.
func TestRemountIsTheSameFilesystem(t *testing.T) {
	for _, fstype := range []string{"ext4", "btrfs", "xfs"} {
		t.Run(fstype, func(t *testing.T) {
			image := loopfs.NewImage(t, "512M", fstype)
			must(t, os.MkdirAll(image.Mount+"/a/b", 0o755))
			must(t, os.WriteFile(image.Mount+"/a/b/f", []byte("x"), 0o644))
			res, file := walkOnly(t, image.Mount, Options{}, nil)
			known := finish(t, res, file)
			image.Unmount(t)
			loopfs.NewFS(t, "512M", fstype) // takes a device number, so that it is another one
			image.Remount(t)
			res, _ = walkTree(t, image.Mount, Options{}, known)
			if !res.List.Empty() {
				t.Errorf("%+v", res.List)
			}
		})
	}
}

// What is mounted below the source, or not any more.
func TestMountsBelowTheSource(t *testing.T) {
	root := loopfs.NewFS(t, "512M", "ext4")
	inner := loopfs.NewFS(t, "512M", "ext4")
	must(t, errors.Join(os.MkdirAll(root+"/at/sub", 0o755), os.MkdirAll(inner+"/sub", 0o755)))
	bind := func(what string) {
		t.Helper()
		must(t, unix.Mount(what, root+"/at", "", unix.MS_BIND, ""))
	}
	unbind := func() { must(t, unix.Unmount(root+"/at", 0)) }
	list := func(o Options, known *catalog.Reader) (List, *catalog.Reader) {
		res, next := walkTree(t, root, o, known)
		return res.List, next
	}
	_, known := walkTree(t, root, Options{}, nil)
	bind(inner)
	l, known := list(Options{}, known)
	if want := []string{"at", "at/lost+found", "at/sub"}; !slices.Equal(l.Fresh, want) {
		t.Errorf("mounted: %+v", l)
	}
	unbind()
	must(t, unix.Mount("none", root+"/at", "ramfs", 0, ""))
	must(t, os.WriteFile(root+"/at/f", nil, 0o644))
	if l, known = list(Options{}, known); !slices.Equal(l.Fresh, []string{"at"}) {
		t.Errorf("a filesystem that is not trusted: %+v", l)
	}
	if l, known = list(Options{}, known); !slices.Equal(l.Fresh, []string{"at"}) {
		t.Errorf("the same, for the second time: %+v", l)
	}
	unbind()
	if l, _ = list(Options{}, known); !slices.Equal(l.Fresh, []string{"at", "at/sub"}) {
		t.Errorf("unmounted: %+v", l)
	}
	// On one filesystem, what is mounted is an empty directory of its own attributes.
	one := Options{OneFileSystem: true}
	_, known = walkTree(t, root, one, nil)
	bind(inner)
	if l, known = list(one, known); !slices.Equal(l.Dirs, []string{"."}) || len(l.Fresh) > 0 {
		t.Errorf("-x, mounted: %+v", l)
	}
	if l, known = list(one, known); !l.Empty() {
		t.Errorf("-x, for the second time: %+v", l)
	}
	unbind()
	if l, known = list(one, known); !slices.Equal(l.Fresh, []string{"at", "at/sub"}) {
		t.Errorf("-x, unmounted: %+v", l)
	}
	// A loop has an end.
	bind(root)
	l, _ = list(Options{}, known)
	unbind()
	if want := []string{"at", "at/at", "at/at/sub", "at/lost+found"}; !slices.Equal(l.Fresh, want) {
		t.Errorf("a loop: %+v", l)
	}
}

// On btrfs another subvolume is another filesystem.
func TestSubvolumesBelowTheSource(t *testing.T) {
	root := loopfs.New(t, "512M")
	for _, name := range []string{"a", "b"} {
		makeSubvolume(t, root, name)
		must(t, os.WriteFile(filepath.Join(root, name, "f"), []byte(name), 0o644))
	}
	_, known := walkTree(t, root, Options{}, nil)
	quiet()
	must(t, unix.Renameat2(unix.AT_FDCWD, root+"/a", unix.AT_FDCWD, root+"/b", unix.RENAME_EXCHANGE))
	res, _ := walkTree(t, root, Options{}, known)
	if want := []string{"a", "b"}; !slices.Equal(res.List.Fresh, want) {
		t.Errorf("exchanged: %+v", res.List)
	}
}

func makeSubvolume(t *testing.T, dir, name string) {
	t.Helper()
	d := openRoot(t, dir)
	must(t, btrfs.CreateSubvolume(d, name))
}
