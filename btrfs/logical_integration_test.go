//go:build integration

package btrfs_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	files "github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

func TestExtents(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(w.sub.Name(), "file")
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	block := bytes.Repeat([]byte("x"), 64<<10)
	const pieces = 300 // more than one call answers
	for i := range int64(pieces) {
		_, err := f.WriteAt(block, i*128<<10)
		must(t, err)
	}
	must(t, unix.Fallocate(int(f.Fd()), 0, pieces*128<<10, 1<<20))
	must(t, btrfs.Sync(w.root))
	got, err := btrfs.Extents(f, 0, 1<<40)
	must(t, err)
	if len(got) != pieces {
		t.Fatalf("%d extents, want %d: %+v", len(got), pieces, got)
	}
	for i, e := range got {
		if e.Offset != uint64(i)*128<<10 || e.Length != 64<<10 || e.Address == 0 || e.Inline || e.Compressed {
			t.Errorf("extent %d: %+v", i, e)
		}
	}
	some, err := btrfs.Extents(f, 200*128<<10, 1)
	must(t, err)
	if diff := cmp.Diff(got[200:201], some); diff != "" {
		t.Error(diff)
	}
	none, err := btrfs.Extents(f, 200*128<<10+64<<10, 64<<10)
	must(t, err)
	if len(none) != 0 {
		t.Errorf("extents of a hole: %+v", none)
	}
	if e, err := btrfs.Extents(f, pieces*128<<10, 1<<20); err != nil || len(e) != 0 {
		t.Errorf("extents of preallocated space: %+v, %v", e, err)
	}
	must(t, os.WriteFile(filepath.Join(w.sub.Name(), "small"), []byte("abc"), 0o644))
	small, err := os.Open(filepath.Join(w.sub.Name(), "small"))
	must(t, err)
	defer small.Close()
	must(t, btrfs.Sync(w.root))
	inline, err := btrfs.Extents(small, 0, 3)
	must(t, err)
	if len(inline) != 1 || !inline[0].Inline || inline[0].Address != 0 {
		t.Errorf("an inline file: %+v", inline)
	}
}

func TestLogicalInodes(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(w.sub.Name(), "file")
	must(t, os.WriteFile(name, bytes.Repeat([]byte("abcdefgh"), 64<<10), 0o644))
	must(t, btrfs.Sync(w.root))
	must(t, btrfs.CreateSnapshot(w.root, "snap", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))

	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	before, err := btrfs.Extents(f, 0, 512<<10)
	must(t, err)
	_, err = f.WriteAt(make([]byte, 4096), 100<<10)
	must(t, err)
	must(t, btrfs.Sync(w.root))

	roots := func(address uint64) map[uint64]uint64 {
		refs, err := btrfs.LogicalInodes(w.root, address)
		must(t, err)
		offsets := map[uint64]uint64{}
		for _, r := range refs {
			path, err := btrfs.InodePath(w.root, r.Root, r.Inode)
			must(t, err)
			if path != "file" {
				t.Errorf("inode %d of %d is %q", r.Inode, r.Root, path)
			}
			offsets[r.Root] = r.Offset
		}
		return offsets
	}
	snap, err := btrfs.OpenDirAt(w.root, "snap")
	must(t, err)
	defer snap.Close()
	old, err := btrfs.SubvolumeInfo(snap)
	must(t, err)
	now, err := btrfs.SubvolumeInfo(w.sub)
	must(t, err)
	// The block that was overwritten is in the snapshot alone, its neighbour in both.
	if diff := cmp.Diff(map[uint64]uint64{old.ID: 100 << 10}, roots(before[0].Address+100<<10)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[uint64]uint64{old.ID: 96 << 10, now.ID: 96 << 10}, roots(before[0].Address+96<<10)); diff != "" {
		t.Error(diff)
	}
	if _, err := btrfs.LogicalInodes(w.root, 1<<60); !errors.Is(err, unix.ENOENT) {
		t.Errorf("an address with nothing there: %v, want ENOENT", err)
	}

	var changed []btrfs.FileRange
	for r, err := range btrfs.ChangedRanges(w.sub, old.Generation) {
		must(t, err)
		changed = append(changed, r)
	}
	if len(changed) != 1 || changed[0].Offset != 100<<10 || changed[0].Length != 4096 {
		t.Errorf("changed since the snapshot: %+v", changed)
	}
}

// One extent used more often than the first buffer has room for.
func TestLogicalInodesOfManyUsers(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(w.sub.Name(), "file")
	must(t, os.WriteFile(name, bytes.Repeat([]byte("x"), 128<<10), 0o644))
	src, err := os.Open(name)
	must(t, err)
	defer src.Close()
	must(t, btrfs.Sync(w.root))
	const copies = 4000
	dst, err := os.Create(name + ".many")
	must(t, err)
	defer dst.Close()
	for i := range uint64(copies) {
		must(t, unix.IoctlFileCloneRange(int(dst.Fd()), &unix.FileCloneRange{
			Src_fd: int64(src.Fd()), Src_length: 128 << 10, Dest_offset: i * 128 << 10,
		}))
	}
	must(t, btrfs.Sync(w.root))
	extents, err := btrfs.Extents(src, 0, 1)
	must(t, err)
	refs, err := btrfs.LogicalInodes(w.root, extents[0].Address)
	must(t, err)
	if len(refs) != copies+1 {
		t.Errorf("%d users, want %d", len(refs), copies+1)
	}
}

// A reflink brings old data to a new place: it was not written since, but the base has it elsewhere at best.
func TestUnsharedRanges(t *testing.T) {
	w := newWorld(t)
	data := bytes.Repeat([]byte("x"), 128<<10)
	must(t, os.WriteFile(filepath.Join(w.root.Name(), "outside"), data, 0o644))
	must(t, os.WriteFile(filepath.Join(w.sub.Name(), "old"), data, 0o644))
	must(t, btrfs.Sync(w.root))
	must(t, btrfs.CreateSnapshot(w.root, "base", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))
	base, err := btrfs.OpenDirAt(w.root, "base")
	must(t, err)
	defer base.Close()
	info, err := btrfs.SubvolumeInfo(base)
	must(t, err)
	src, err := os.Open(filepath.Join(w.root.Name(), "outside"))
	must(t, err)
	defer src.Close()
	dst, err := os.Create(filepath.Join(w.sub.Name(), "new"))
	must(t, err)
	defer dst.Close()
	must(t, unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())))
	must(t, btrfs.Sync(w.root))

	for r, err := range btrfs.ChangedRanges(w.sub, info.OTransID) {
		t.Errorf("written since: %+v, %v", r, err)
	}
	var unshared []btrfs.FileRange
	for r, err := range btrfs.UnsharedRanges(w.sub, base, info.OTransID) {
		must(t, err)
		unshared = append(unshared, r)
	}
	if len(unshared) != 1 || unshared[0].Length != 128<<10 {
		t.Errorf("not shared with the base: %+v", unshared)
	}
}

// Two files that share all extents have the same data, even if their metadata differ; for others it is not known.
func TestSameExtents(t *testing.T) {
	w := newWorld(t, "compress-force=zstd")
	at := func(name string) string { return filepath.Join(w.sub.Name(), name) }
	text := bytes.Repeat([]byte("0123456789abcdef"), 32<<10)
	must(t, os.WriteFile(at("compressed"), text, 0o644))
	must(t, os.WriteFile(at("inline"), []byte("abc"), 0o644))
	must(t, os.WriteFile(at("empty"), nil, 0o644))
	must(t, os.WriteFile(at("changed"), text, 0o644))
	must(t, os.WriteFile(at("inline changed"), []byte("abc"), 0o644))
	must(t, os.WriteFile(at("cut"), text, 0o644))
	must(t, os.WriteFile(at("moved"), text, 0o644))
	must(t, os.WriteFile(at("rewritten"), text, 0o644))
	must(t, btrfs.Sync(w.root))
	must(t, btrfs.CreateSnapshot(w.root, "before", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))

	for _, name := range []string{"compressed", "inline", "empty"} {
		must(t, os.Chmod(at(name), 0o600))
		must(t, os.Chtimes(at(name), time.Unix(1, 2), time.Unix(3, 4)))
	}
	f, err := os.OpenFile(at("changed"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("X"), 300<<10)
	must(t, errors.Join(err, f.Close()))
	must(t, os.WriteFile(at("inline changed"), []byte("abd"), 0o644))
	must(t, os.WriteFile(at("rewritten"), text, 0o644))
	must(t, os.Truncate(at("cut"), 256<<10))
	// The second half of a compressed extent in the place of the first: same extent, other bytes.
	half := at("moved")
	f, err = os.OpenFile(half, os.O_RDWR, 0)
	must(t, err)
	must(t, unix.IoctlFileCloneRange(int(f.Fd()), &unix.FileCloneRange{Src_fd: int64(f.Fd()), Src_offset: 64 << 10, Src_length: 64 << 10, Dest_offset: 0}))
	must(t, f.Close())
	must(t, btrfs.Sync(w.root))
	must(t, btrfs.CreateSnapshot(w.root, "after", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))

	for name, want := range map[string]bool{
		"compressed": true, "inline": true, "empty": true,
		"changed": false, "inline changed": false, "rewritten": false, "cut": false, "moved": false,
	} {
		a, err := os.Open(filepath.Join(w.image.Mount, "before", name))
		must(t, err)
		b, err := os.Open(filepath.Join(w.image.Mount, "after", name))
		must(t, err)
		if got, err := files.SameExtents(a, b); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
		if same, err := files.SameExtents(a, a); err != nil || !same {
			t.Errorf("%s and itself: %v, %v", name, same, err)
		}
		must(t, errors.Join(a.Close(), b.Close()))
	}
}
