//go:build integration && !386 && !arm

// go-fuse does not compile on 32-bit machines (v2.12).

package outside

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/internal/testserver"
)

// oddFile is a file as a filesystem in user space may show it.
type oddFile struct {
	name    string
	ino     uint64
	links   uint32
	size    int64 // as it says; -1 is that of the content
	content string
	node    uint64 // as the kernel knows it; 0 is one of its own
	bad     int    // from here on it cannot be read; 0: all of it can
}

// oddFS shows files in one directory.
type oddFS struct {
	fuse.RawFileSystem
	files []oddFile
}

func (f *oddFS) node(i int) uint64 {
	if n := f.files[i].node; n != 0 {
		return n
	}
	return uint64(i) + 100
}

func (f *oddFS) find(node uint64) *oddFile {
	for i := range f.files {
		if f.node(i) == node {
			return &f.files[i]
		}
	}
	return nil
}

func (f *oddFS) attr(node uint64, out *fuse.Attr) fuse.Status {
	mtime := time.Unix(1700000000, 123456789)
	out.SetTimes(&mtime, &mtime, &mtime)
	if node == fuse.FUSE_ROOT_ID {
		out.Ino, out.Mode, out.Nlink = 1, fuse.S_IFDIR|0o755, 2
		return fuse.OK
	}
	file := f.find(node)
	if file == nil {
		return fuse.ENOENT
	}
	out.Ino, out.Mode, out.Nlink, out.Size = file.ino, fuse.S_IFREG|0o644, file.links, uint64(file.size)
	if file.size < 0 {
		out.Size = uint64(len(file.content))
	}
	out.Blocks = (out.Size + 511) / 512
	return fuse.OK
}

func (f *oddFS) Lookup(_ <-chan struct{}, _ *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	for i := range f.files {
		if f.files[i].name == name {
			out.NodeId = f.node(i)
			return f.attr(out.NodeId, &out.Attr)
		}
	}
	return fuse.ENOENT
}

func (f *oddFS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.attr(in.NodeId, &out.Attr)
}

func (f *oddFS) StatFs(<-chan struct{}, *fuse.InHeader, *fuse.StatfsOut) fuse.Status { return fuse.OK }

func (f *oddFS) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.OK }

func (f *oddFS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for i := int(in.Offset); i < len(f.files); i++ {
		if !out.AddDirEntry(fuse.DirEntry{Name: f.files[i].name, Mode: fuse.S_IFREG, Ino: f.files[i].ino}) {
			break
		}
	}
	return fuse.OK
}

func (f *oddFS) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (f *oddFS) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	content := f.find(in.NodeId).content
	if bad := f.find(in.NodeId).bad; bad > 0 && int(in.Offset)+len(buf) > bad {
		return nil, fuse.EIO
	}
	start := min(int(in.Offset), len(content))
	return fuse.ReadResultData([]byte(content[start:min(start+len(buf), len(content))])), fuse.OK
}

// mountOdd shows files at a new mount point.
func mountOdd(t *testing.T, files ...oddFile) string {
	t.Helper()
	point := filepath.Join(t.TempDir(), "odd")
	testdest.Must(t, os.Mkdir(point, 0o755))
	raw := &oddFS{fuse.NewDefaultRawFileSystem(), files}
	server, err := fuse.NewServer(raw, point, &fuse.MountOptions{FsName: "odd", Name: "odd", DisableReadDirPlus: true, DirectMount: true, DisableXAttrs: true, AllowOther: true})
	testdest.Must(t, err)
	go server.Serve()
	testdest.Must(t, server.WaitMount())
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return point
}

// Two files under one inode number, by content, size, or number of names, are two files in the backup; what is one file
// is one.
func TestFilesThatShareAnInodeNumber(t *testing.T) {
	t.Parallel()
	odd := mountOdd(t,
		oddFile{name: "a", ino: 10, links: 2, size: -1, content: "equal length 1"},
		oddFile{name: "b", ino: 10, links: 2, size: -1, content: "equal length 2"},
		oddFile{name: "c", ino: 11, links: 2, size: -1, content: "short"},
		oddFile{name: "d [*]", ino: 11, links: 2, size: -1, content: "not as short"},
		oddFile{name: "e", ino: 12, links: 2, size: -1, content: "three names"},
		oddFile{name: "f", ino: 12, links: 2, size: -1, content: "three names"},
		oddFile{name: "g", ino: 12, links: 2, size: -1, content: "three names"},
		oddFile{name: "one", ino: 13, links: 2, size: -1, content: "one file", node: 1000},
		oddFile{name: "two", ino: 13, links: 2, size: -1, content: "one file", node: 1000},
		oddFile{name: "three", ino: 14, links: 2, size: -1, content: "one file by content"},
		oddFile{name: "four", ino: 14, links: 2, size: -1, content: "one file by content"},
	)
	above := newSource(t)
	testdest.Write(t, filepath.Join(above, "file"), "x")
	testdest.Must(t, os.Mkdir(filepath.Join(above, "below"), 0o755))
	testdest.Tool(t, "mount", "--bind", odd, filepath.Join(above, "below"))
	t.Cleanup(func() { testdest.Tool(t, "umount", filepath.Join(above, "below")) })
	t.Run("SRC", func(t *testing.T) { wantApart(t, odd, ".") })
	t.Run("below SRC", func(t *testing.T) { wantApart(t, above, "below") })
}

func wantApart(t *testing.T, src, sub string) {
	t.Helper()
	dest := testdest.New(t, "256M")
	for range 3 {
		r := backup(t, 0, src, dest)
		wantSaid(t, r, "7 names have the inode number of another file")
		got := filepath.Join(testdest.CurrentPath(t, dest), sub)
		for name, content := range map[string]string{
			"a": "equal length 1", "b": "equal length 2", "c": "short", "d [*]": "not as short", "e": "three names", "g": "three names", "two": "one file",
		} {
			if have := testdest.Read(t, filepath.Join(got, name)); have != content {
				t.Errorf("%s: %q, want %q", name, have, content)
			}
		}
		for _, pair := range []struct {
			a, b string
			same bool
		}{{"a", "b", false}, {"c", "d [*]", false}, {"e", "f", false}, {"f", "g", false}, {"one", "two", true}, {"three", "four", true}} {
			if got := sameFile(t, filepath.Join(got, pair.a), filepath.Join(got, pair.b)); got != pair.same {
				t.Errorf("%s and %s are one file: %v", pair.a, pair.b, got)
			}
		}
	}
}

// Files that say they are empty and have content are named, as far as they are in the backup.
func TestFilesThatSayTheyAreEmpty(t *testing.T) {
	t.Parallel()
	src := mountOdd(t,
		oddFile{name: "odd", ino: 10, links: 1, size: 0, content: "something"},
		oddFile{name: "left out", ino: 11, links: 1, size: 0, content: "something"},
		oddFile{name: "empty", ino: 12, links: 1, size: 0},
		oddFile{name: "full", ino: 13, links: 1, size: -1, content: "something"},
	)
	dest := testdest.New(t, "256M")
	r := backup(t, 0, src, dest, "--exclude=left*")
	wantSaid(t, r, "reported with size 0, but not empty")
	wantSaid(t, r, "odd")
	if strings.Contains(r.Stderr, "left out:") {
		t.Error(r.Stderr)
	}
	if got := testdest.Read(t, filepath.Join(testdest.CurrentPath(t, dest), "full")); got != "something" {
		t.Errorf("full: %q", got)
	}
}

// A remote rsync with protocol 30 loses fractions of seconds; a notice says so.
func TestARemoteRsyncOfWholeSeconds(t *testing.T) {
	t.Parallel()
	server := testserver.StartSSH(t)
	src, dest := newSource(t), testdest.New(t, "256M")
	testdest.Write(t, filepath.Join(src, "file"), "x")
	old := filepath.Join(t.TempDir(), "rsync")
	testdest.Must(t, os.WriteFile(old, []byte("#!/bin/sh\nshift\nexec /usr/bin/rsync --server --protocol=30 \"$@\"\n"), 0o755))
	remote := "root@127.0.0.1:" + src
	for range 2 {
		wantSaid(t, backup(t, 0, remote, dest, "-e", server.Shell, "--", "--rsync-path="+old), "--checksum compares contents")
	}
	if r := backup(t, 0, remote, dest, "-e", server.Shell); strings.Contains(r.Stderr, "fractions") {
		t.Errorf("said of a new rsync:\n%s", r.Stderr)
	}
}
