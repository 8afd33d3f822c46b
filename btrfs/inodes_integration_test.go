//go:build integration

package btrfs_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// changedInodes are those newer than the last commit before do.
func changedInodes(t *testing.T, dir *os.File, do func() error) map[uint64]btrfs.ChangedInode {
	t.Helper()
	must(t, btrfs.Sync(dir))
	info, err := btrfs.SubvolumeInfo(dir)
	must(t, err)
	must(t, do())
	must(t, btrfs.Sync(dir))
	all := map[uint64]btrfs.ChangedInode{}
	for c, err := range btrfs.ChangedInodes(dir, info.Generation) {
		must(t, err)
		all[c.Inode] = c
	}
	return all
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return st.Ino
}

func TestChangedInodes(t *testing.T) {
	w := newWorld(t)
	sub := w.sub.Name()
	must(t, errors.Join(os.MkdirAll(sub+"/a/b", 0o755), os.Mkdir(sub+"/c", 0o755), os.WriteFile(sub+"/a/b/f", make([]byte, 100_000), 0o644), os.WriteFile(sub+"/a/g", nil, 0o644)))
	for i := range 300 { // more names than an inode has room for in one place
		must(t, os.Link(sub+"/a/g", fmt.Sprintf("%s/c/%0200d", sub, i)))
	}
	root, a, b, c := uint64(256), inodeOf(t, sub+"/a"), inodeOf(t, sub+"/a/b"), inodeOf(t, sub+"/c")
	f, g := inodeOf(t, sub+"/a/b/f"), inodeOf(t, sub+"/a/g")
	for _, tt := range []struct {
		name    string
		do      func() error
		changed []uint64
		written uint64
		dirs    []uint64 // of the last of changed
	}{
		{"nothing", func() error { return nil }, nil, 0, nil},
		{"a mode", func() error { return os.Chmod(sub+"/a/b/f", 0o600) }, []uint64{f}, 0, []uint64{b}},
		{"data", func() error { return overwrite(sub+"/a/b/f", 50_000) }, []uint64{f}, f, []uint64{b}},
		{"an attribute", func() error { return unix.Setxattr(sub+"/a", "user.x", []byte("1"), 0) }, []uint64{a}, 0, []uint64{root}},
		{"of many names", func() error { return os.Chmod(sub+"/a/g", 0o600) }, []uint64{g}, 0, []uint64{a, c}},
		{"a rename", func() error { return os.Rename(sub+"/a/b/f", sub+"/f") }, []uint64{root, b, f}, 0, []uint64{root}},
		{"the root", func() error { return os.Chmod(sub, 0o711) }, []uint64{root}, 0, []uint64{root}},
		{"another subvolume", func() error { return os.WriteFile(w.mine.Name()+"/x", []byte("x"), 0o644) }, nil, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := changedInodes(t, w.sub, tt.do)
			var inodes []uint64
			for inode, c := range got {
				inodes = append(inodes, inode)
				if c.Written != (inode == tt.written) {
					t.Errorf("inode %d: written %v", inode, c.Written)
				}
			}
			slices.Sort(inodes)
			if !slices.Equal(inodes, tt.changed) {
				t.Fatalf("changed %v, want %v", inodes, tt.changed)
			}
			slices.Sort(tt.dirs)
			if n := len(tt.changed); n > 0 && !slices.Equal(got[tt.changed[n-1]].Dirs, tt.dirs) {
				t.Errorf("in %v, want %v", got[tt.changed[n-1]].Dirs, tt.dirs)
			}
		})
	}
	t.Run("a file that is open and has no name", func(t *testing.T) {
		gone, err := os.Create(sub + "/gone")
		must(t, err)
		defer gone.Close()
		inode := inodeOf(t, sub+"/gone")
		got := changedInodes(t, w.sub, func() error { return os.Remove(sub + "/gone") })
		if c := got[inode]; len(c.Dirs) > 0 || len(got[root].Dirs) != 1 {
			t.Errorf("%+v", got)
		}
	})
	for _, err := range btrfs.ChangedInodes(w.ext4, 0) {
		if !errors.Is(err, btrfs.ErrNotBtrfs) {
			t.Errorf("ext4: %v", err)
		}
	}
}

func overwrite(path string, offset int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte("new"), offset)
	return errors.Join(err, f.Close())
}
