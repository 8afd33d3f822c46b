//go:build integration && !386 && !arm

// go-fuse does not compile on 32-bit machines (v2.12).

package outside

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// attrs are those of a file in memory.
type attrs struct {
	mu sync.Mutex
	at fuse.Attr
}

func (a *attrs) get(out *fuse.Attr, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*out = a.at
	out.Size = uint64(size)
}

func (a *attrs) set(in *fuse.SetAttrIn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		a.at.Mode = mode
	}
	if uid, ok := in.GetUID(); ok {
		a.at.Uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		a.at.Gid = gid
	}
	if mtime, ok := in.GetMTime(); ok {
		a.at.SetTimes(nil, &mtime, nil)
	}
}

type foldedFile struct {
	fs.MemRegularFile
	attrs
}

func (f *foldedFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.get(&out.Attr, len(f.Data))
	return 0
}

func (f *foldedFile) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.set(in)
	errno := f.MemRegularFile.Setattr(ctx, h, in, out)
	f.get(&out.Attr, len(f.Data))
	return errno
}

// foldedDir is a directory in which NAME and name are one, as on many shares and disks of Windows and macOS.
type foldedDir struct {
	fs.Inode
	attrs
	names map[string]folded
	// each: each name that is looked up is an inode of its own number, as with libfuse.
	each bool
}

type folded struct {
	shown string
	inode *fs.Inode
}

func (d *foldedDir) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.get(&out.Attr, 0)
	return 0
}

func (d *foldedDir) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	d.set(in)
	d.get(&out.Attr, 0)
	return 0
}

func (d *foldedDir) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.mu.Lock()
	have, ok := d.names[strings.ToLower(name)]
	d.mu.Unlock()
	if !ok {
		return nil, syscall.ENOENT
	}
	var at fuse.AttrOut
	errno := have.inode.Operations().(fs.NodeGetattrer).Getattr(ctx, nil, &at)
	out.Attr = at.Attr
	if d.each && name != have.shown {
		if f, ok := have.inode.Operations().(*foldedFile); ok {
			return d.NewInode(ctx, &anotherName{of: f}, fs.StableAttr{Mode: syscall.S_IFREG}), errno
		}
	}
	return have.inode, errno
}

// anotherName is a file under another name than the one it was made by.
type anotherName struct {
	fs.Inode
	of *foldedFile
}

func (a *anotherName) Getattr(ctx context.Context, h fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	return a.of.Getattr(ctx, h, out)
}

// add makes an entry, unless there is one.
func (d *foldedDir) add(ctx context.Context, name string, mode uint32, node fs.InodeEmbedder, out *fuse.EntryOut) *fs.Inode {
	inode := d.NewInode(ctx, node, fs.StableAttr{Mode: mode & syscall.S_IFMT})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[strings.ToLower(name)] = folded{name, inode}
	out.Mode = mode
	return inode
}

func (d *foldedDir) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if have, errno := d.Lookup(ctx, name, out); errno == 0 {
		return have, nil, 0, 0
	}
	f := &foldedFile{}
	f.at.Mode, f.at.Nlink = syscall.S_IFREG|mode, 1
	return d.add(ctx, name, f.at.Mode, f, out), nil, 0, 0
}

func (d *foldedDir) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if _, errno := d.Lookup(ctx, name, out); errno == 0 {
		return nil, syscall.EEXIST
	}
	sub := newFoldedDir(mode, d.each)
	return d.add(ctx, name, sub.at.Mode, sub, out), 0
}

func (d *foldedDir) remove(name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, strings.ToLower(name))
	return 0
}

func (d *foldedDir) Unlink(_ context.Context, name string) syscall.Errno { return d.remove(name) }

func (d *foldedDir) Rmdir(_ context.Context, name string) syscall.Errno { return d.remove(name) }

func (d *foldedDir) Rename(_ context.Context, name string, to fs.InodeEmbedder, toName string, _ uint32) syscall.Errno {
	d.mu.Lock()
	have := d.names[strings.ToLower(name)]
	d.mu.Unlock()
	d.remove(name)
	t := to.(*foldedDir)
	t.mu.Lock()
	defer t.mu.Unlock()
	shown := toName
	if old, ok := t.names[strings.ToLower(toName)]; ok {
		shown = old.shown
	}
	t.names[strings.ToLower(toName)] = folded{shown, have.inode}
	return 0
}

func (d *foldedDir) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []fuse.DirEntry
	for _, e := range d.names {
		list = append(list, fuse.DirEntry{Name: e.shown, Mode: e.inode.Mode(), Ino: e.inode.StableAttr().Ino})
	}
	return fs.NewListDirStream(list), 0
}

func newFoldedDir(mode uint32, each bool) *foldedDir {
	d := &foldedDir{names: map[string]folded{}, each: each}
	d.at.Mode, d.at.Nlink = syscall.S_IFDIR|mode, 2
	return d
}

// mountFolded mounts such a filesystem.
func mountFolded(t *testing.T, each bool) string {
	t.Helper()
	point := t.TempDir()
	server, err := fs.Mount(point, newFoldedDir(0o755, each), &fs.Options{MountOptions: fuse.MountOptions{FsName: "share", Name: "folded", DirectMount: true, DisableXAttrs: true}})
	testdest.Must(t, err)
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return point
}

// A restore to a filesystem that cannot hold two names beside each other says which files are missing.
func TestRestoreToAFilesystemThatFoldsNames(t *testing.T) {
	t.Parallel()
	src, dest := newSource(t), testdest.New(t, "256M")
	for _, name := range []string{"README", "readme", "other", "dir/Makefile", "dir/makefile", "DIR/x"} {
		testdest.Must(t, os.MkdirAll(filepath.Join(src, filepath.Dir(name)), 0o755))
		testdest.Write(t, filepath.Join(src, name), "this is "+name)
	}
	backup(t, 0, src, dest)
	target := mountFolded(t, false)
	r := testbin.Run(t, "restore", dest, "latest", "-t", target)
	if r.Exit != 3 {
		t.Errorf("exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	wantSaid(t, r, "only some are there: DIR, README, dir, dir/Makefile, dir/makefile, readme\n")
	wantSaid(t, r, "hint: a filesystem of Linux holds all of them: rsbtbackup restore "+dest+" latest --target=DIR\n")
	target = mountFolded(t, false)
	if r := testbin.Run(t, "restore", dest, "latest", "README", "readme", "-t", target); r.Exit != 3 {
		t.Errorf("two files: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	if r := testbin.Run(t, "restore", dest, "latest", "README", "-t", target, "--overwrite=never"); r.Exit != 0 || r.Stderr != "" {
		t.Errorf("nothing is left to do: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
	target = mountFolded(t, true)
	r = testbin.Run(t, "restore", dest, "latest", "-t", target)
	wantSaid(t, r, "only some are there: DIR, README, dir, dir/Makefile, dir/makefile, readme\n")
	target = mountFolded(t, false)
	if r := testbin.Run(t, "restore", dest, "latest", "README", "DIR", "-t", target); r.Exit != 0 || r.Stderr != "" {
		t.Errorf("names that differ: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}
