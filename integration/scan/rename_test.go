//go:build integration

package scan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// fill makes n files of a size, each with its own content.
func (p *pair) fill(dir string, n, size int) {
	p.t.Helper()
	testdest.Must(p.t, os.MkdirAll(filepath.Join(p.src, dir), 0o755))
	for i := range n {
		line := fmt.Sprintf("%s %d %d\n", dir, i, p.made)
		testdest.Must(p.t, os.WriteFile(filepath.Join(p.src, dir, fmt.Sprint("f", i)), []byte(strings.Repeat(line, size/len(line)+1)[:size]), 0o644))
	}
}

// renamed is backup that must have moved so many things.
func (p *pair) renamed(n int) *rsbtbackup.Scan {
	p.t.Helper()
	s := p.backup()
	if s.Renamed != n {
		p.t.Errorf("renamed %d, want %d: %+v", s.Renamed, n, s)
	}
	return s
}

// What moved costs metadata, and what it came to be is what a run has that knows nothing of it.
func TestMovedDataIsNotCopied(t *testing.T) {
	p := newPair(t, "x/y/")
	for i := range 8 {
		p.fill(fmt.Sprint("big/", i), 8, 128<<10) // 8 MiB in all
	}
	p.backup()
	for _, step := range []struct {
		what  string
		do    func() error
		moves int
	}{
		{"a directory", func() error { return os.Rename(p.src+"/big", p.src+"/x/y/new") }, 1},
		{"it and what is in it change places", func() error {
			return errors.Join(os.Rename(p.src+"/x/y/new", p.src+"/tmp"), os.Remove(p.src+"/x/y"), os.Rename(p.src+"/tmp/3", p.src+"/x/y"), os.Rename(p.src+"/tmp", p.src+"/x/y/3"))
		}, 2},
		{"two directories swap", func() error {
			return unix.Renameat2(unix.AT_FDCWD, p.src+"/x/y/3/1", unix.AT_FDCWD, p.src+"/x/y/3/2", unix.RENAME_EXCHANGE)
		}, 2},
		{"onto one that was deleted", func() error {
			return errors.Join(os.RemoveAll(p.src+"/x/y/3/1"), os.Rename(p.src+"/x/y/3/2", p.src+"/x/y/3/1"))
		}, 1},
		{"files into a new directory", func() error {
			return errors.Join(os.Mkdir(p.src+"/x/n", 0o700), os.Mkdir(p.src+"/x/n/m", 0o750), os.Rename(p.src+"/x/y/f1", p.src+"/x/n/m/g"),
				os.Rename(p.src+"/x/y/f2", p.src+"/x/n/f1"))
		}, 2},
	} {
		t.Run(step.what, func(t *testing.T) {
			testdest.Must(t, step.do())
			by := p.renamed(step.moves)
			want(t, by, rsbtbackup.ScanWalk, "")
			list, err := rsbtbackup.List(t.Context(), p.walk)
			testdest.Must(t, err)
			if added := list.Backups[len(list.Backups)-1].Record.AddedBytes; added == nil || *added > 64<<10 {
				t.Errorf("added %v bytes", added)
			}
		})
	}
}

// What came along, changed, was replaced or forged on the way, and what was never in the backup.
func TestMovesThatOnlySeemToBeMoves(t *testing.T) {
	p := newPair(t, "d/a", "d/b", "d/c", "d/sub/e", "d/sub/f", "cut/x/y", "k/1", "k/2", "h/one")
	testdest.Must(t, os.Link(p.src+"/h/one", p.src+"/d/two"))
	long := time.Unix(1e9, 1)
	for _, name := range []string{"d/a", "d/sub/e", "k/1", "k/2"} {
		testdest.Must(t, os.Chtimes(p.src+"/"+name, long, long))
	}
	p.set = func(o *rsbtbackup.BackupOptions) {
		if o.Exclude = []string{"/cut", "*.no"}; o.Scan == rsbtbackup.ScanAuto {
			o.Scan = rsbtbackup.ScanWalk
		}
	}
	p.backup()
	time.Sleep(2100 * time.Millisecond)
	p.backup()
	forge := func(name string) error { // another content of that size and time
		data, err := os.ReadFile(p.src + "/" + name)
		testdest.Must(t, err)
		data[0] ^= 1
		return errors.Join(os.WriteFile(p.src+"/"+name, data, 0o644), os.Chtimes(p.src+"/"+name, long, long))
	}
	for _, step := range []struct {
		what  string
		do    func() error
		moves int
	}{
		{"a file is forged and moved with its directory", func() error { return errors.Join(forge("d/a"), os.Rename(p.src+"/d", p.src+"/D")) }, 1},
		{"files are forged and swapped", func() error {
			return errors.Join(forge("k/1"), forge("k/2"), unix.Renameat2(unix.AT_FDCWD, p.src+"/k/1", unix.AT_FDCWD, p.src+"/k/2", unix.RENAME_EXCHANGE))
		}, 2},
		{"another file of that name, size and time, in a directory made anew", func() error {
			p.write("D/new/e")
			return errors.Join(os.RemoveAll(p.src+"/D/sub"), os.Rename(p.src+"/D/new", p.src+"/D/sub"), os.WriteFile(p.src+"/D/sub/e", []byte("D/sub/e, 0")[:10], 0o644),
				os.Truncate(p.src+"/D/sub/e", int64(len("d/sub/e, 0"))), os.Chtimes(p.src+"/D/sub/e", long, long), os.Rename(p.src+"/D", p.src+"/d"))
		}, 1},
		{"out of what is excluded", func() error { return os.Rename(p.src+"/cut/x", p.src+"/x") }, 0},
		{"into what is excluded", func() error { return os.Rename(p.src+"/x", p.src+"/cut/x") }, 0},
		{"onto a name that is excluded", func() error {
			return errors.Join(os.Rename(p.src+"/d/b", p.src+"/d/b.no"), os.Rename(p.src+"/d/sub", p.src+"/sub.no"))
		}, 2},
		{"and back", func() error {
			return errors.Join(os.Rename(p.src+"/d/b.no", p.src+"/d/b"), os.Rename(p.src+"/sub.no", p.src+"/d/sub"))
		}, 0},
		{"a file where the directory was", func() error {
			return errors.Join(os.Rename(p.src+"/d", p.src+"/e"), os.WriteFile(p.src+"/d", []byte("now a file"), 0o644))
		}, 1},
		{"and the directory where the file was", func() error { return errors.Join(os.Remove(p.src+"/d"), os.Rename(p.src+"/e", p.src+"/d")) }, 1},
		{"a name of a file with two", func() error { return os.Rename(p.src+"/d/two", p.src+"/k/two") }, 0},
	} {
		t.Run(step.what, func(t *testing.T) {
			testdest.Must(t, step.do())
			want(t, p.renamed(step.moves), rsbtbackup.ScanWalk, "")
		})
	}
}

// After a move rsync runs only if it would find a difference.
func TestWhatOnlyMovedNeedsNoRsync(t *testing.T) {
	p := newPair(t, "a/d/f", "a/d/sub/g", "b/linked", "b/d/f", "c/", "h/d/f")
	asked := filepath.Join(t.TempDir(), "asked")
	program := filepath.Join(t.TempDir(), "rsync")
	testdest.Must(t, os.WriteFile(program, []byte("#!/bin/sh\ncase \"$*\" in *--files-from*) : >'"+asked+"' ;; esac\nexec rsync \"$@\"\n"), 0o700))
	p.set = func(o *rsbtbackup.BackupOptions) {
		if o.RsyncProgram = program; o.Scan == rsbtbackup.ScanAuto {
			o.Scan = rsbtbackup.ScanWalk
		}
	}
	testdest.Must(t, errors.Join(os.Symlink("f", p.src+"/a/d/link"), unix.Mkfifo(p.src+"/a/d/fifo", 0o640), os.Link(p.src+"/b/linked", p.src+"/b/d/linked"),
		unix.Setxattr(p.src+"/a/d", "user.x", []byte("1"), 0), unix.Setxattr(p.src+"/a/d/f", "user.x", []byte("1"), 0), os.Chown(p.src+"/a/d/sub", 1, 2)))
	p.backup()
	time.Sleep(2100 * time.Millisecond)
	p.backup()
	at := p.src + "/"
	old := time.Unix(1e9, 1)
	const acl = "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\x07\x00\x00\x00" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"
	for _, step := range []struct {
		what  string
		do    func() error
		rsync bool
	}{
		{"a directory", func() error { return os.Rename(at+"a/d", at+"a/e") }, false},
		{"to another directory", func() error { return os.Rename(at+"a/e", at+"c/d") }, false},
		{"to the root, and a time of it", func() error { return errors.Join(os.Rename(at+"c/d", at+"d"), os.Chtimes(p.src, old, old)) }, false},
		{"and a time of its new directory", func() error { return errors.Join(os.Rename(at+"d", at+"a/d"), os.Chtimes(at+"a", old, old)) }, false},
		{"two that swap", func() error {
			return unix.Renameat2(unix.AT_FDCWD, at+"a/d", unix.AT_FDCWD, at+"h/d", unix.RENAME_EXCHANGE)
		}, false},
		{"and back, one with another mode", func() error {
			return errors.Join(os.Chmod(at+"a/d", 0o700), unix.Renameat2(unix.AT_FDCWD, at+"a/d", unix.AT_FDCWD, at+"h/d", unix.RENAME_EXCHANGE))
		}, true},
		{"and another mode", func() error { return errors.Join(os.Rename(at+"a/d", at+"a/e"), os.Chmod(at+"a/e", 0o711)) }, true},
		{"and another owner", func() error { return errors.Join(os.Rename(at+"a/e", at+"a/d"), os.Chown(at+"a/d", 3, 4)) }, true},
		{"and another attribute", func() error {
			return errors.Join(os.Rename(at+"a/d", at+"a/e"), unix.Setxattr(at+"a/e", "user.x", []byte("2"), 0))
		}, true},
		{"and one less", func() error { return errors.Join(os.Rename(at+"a/e", at+"a/d"), unix.Removexattr(at+"a/d", "user.x")) }, true},
		{"and an ACL of its new directory", func() error {
			return errors.Join(os.Rename(at+"a/d", at+"c/d"), unix.Setxattr(at+"c", "system.posix_acl_access", []byte(acl), 0))
		}, true},
		{"and the attribute of a file in it", func() error {
			return errors.Join(os.Rename(at+"c/d", at+"a/d"), unix.Setxattr(at+"a/d/f", "user.x", []byte("2"), 0))
		}, true},
		{"and the owner of a directory in it", func() error { return errors.Join(os.Rename(at+"a/d", at+"c/d"), os.Chown(at+"c/d/sub", 5, 6)) }, true},
		{"and a file in that", func() error {
			return errors.Join(os.Rename(at+"c/d", at+"a/d"), os.WriteFile(at+"a/d/sub/g", []byte("more"), 0o644))
		}, true},
		{"and where a link points", func() error {
			return errors.Join(os.Rename(at+"a/d", at+"c/d"), os.Remove(at+"c/d/link"), os.Symlink("g", at+"c/d/link"))
		}, true},
		{"and what is in its old directory", func() error { return errors.Join(os.Rename(at+"c/d", at+"a/d"), os.Mkdir(at+"c/new", 0o700)) }, true},
		{"and what was in its new directory", func() error { return errors.Join(os.Rename(at+"a/d", at+"c/d"), os.Remove(at+"c/new")) }, true},
		{"and elsewhere", func() error { return errors.Join(os.Rename(at+"c/d", at+"a/d"), os.Chmod(at+"h/d/f", 0o600)) }, true},
		{"onto what was deleted", func() error { return errors.Join(os.RemoveAll(at+"h/d"), os.Rename(at+"a/d", at+"h/d")) }, true},
		{"with a file of several names", func() error { return os.Rename(at+"b/d", at+"a/d") }, true},
		{"a file", func() error { return os.Rename(at+"h/d/f", at+"c/f") }, true},
	} {
		t.Run(step.what, func(t *testing.T) {
			_ = os.Remove(asked) // of backups before the steps
			testdest.Must(t, step.do())
			want(t, p.backup(), rsbtbackup.ScanWalk, "")
			if _, err := os.Stat(asked); (err == nil) != step.rsync {
				t.Errorf("rsync was run: %v, want %v", err == nil, step.rsync)
			}
		})
	}
}

// A directory that is mounted at a second place is still in the first.
func TestAMountMovesNothing(t *testing.T) {
	p := newPair(t, "a/f", "a/b/g", "at/")
	p.set = func(o *rsbtbackup.BackupOptions) { o.Force = true }
	p.backup()
	testdest.Must(t, unix.Mount(p.src+"/a/b", p.src+"/at", "", unix.MS_BIND, ""))
	defer func() { testdest.Must(t, unix.Unmount(p.src+"/at", 0)) }()
	p.write("new")
	p.renamed(0)
	p.renamed(0)
}

// A full run moves as well, and finds nothing that the walk had missed.
func TestMovesInAFullRun(t *testing.T) {
	p := newPair(t, "other/f")
	p.fill("big", 4, 64<<10)
	for range 9 {
		p.backup()
	}
	testdest.Must(t, os.Rename(p.src+"/big", p.src+"/other/big"))
	want(t, p.renamed(1), rsbtbackup.ScanFull, "every 10 runs")
	testdest.Must(t, os.Rename(p.src+"/other/big", p.src+"/big"))
	want(t, p.renamed(1), rsbtbackup.ScanWalk, "")
}
