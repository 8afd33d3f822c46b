//go:build integration

package receive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	ts "github.com/rsbtbackup/rsbtbackup/internal/teststream"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

var (
	uuid   = bytes.Repeat([]byte{7}, 16)
	subvol = ts.Command(1, false, ts.Text(15, "s"), ts.Attr{Kind: 1, Value: uuid}, ts.U64(2, 5))
	file   = ts.Command(3, false, ts.Text(15, "f"), ts.U64(3, 257))
	dir    = ts.Command(4, false, ts.Text(15, "d"), ts.U64(3, 258))
	out    = ts.Command(8, false, ts.Text(15, "out"), ts.U64(3, 259), ts.Text(17, "../../outside"))
	outTop = ts.Command(8, false, ts.Text(15, "abs"), ts.U64(3, 260), ts.Text(17, "/etc/passwd"))
	device = ts.Command(5, false, ts.Text(15, "dev"), ts.U64(3, 261), ts.U64(8, 0x700), ts.U64(5, unix.S_IFBLK|0o600))
	fifo   = ts.Command(6, false, ts.Text(15, "fifo"), ts.U64(3, 262), ts.U64(8, 0), ts.U64(5, unix.S_IFIFO|0o600))
)

func write(path string, offset uint64, data string) []byte {
	return ts.Command(15, false, ts.Text(15, path), ts.U64(18, offset), ts.Text(19, data))
}

func cloneFrom(path string, uuid []byte, from string, length uint64) []byte {
	return ts.Command(16, false, ts.Text(15, path), ts.U64(18, 0), ts.U64(24, length), ts.Text(22, from),
		ts.Attr{Kind: 20, Value: uuid}, ts.U64(21, 1), ts.U64(23, 0))
}

func on(number uint16, path string, attrs ...ts.Attr) []byte {
	return ts.Command(number, false, append([]ts.Attr{ts.Text(15, path)}, attrs...)...)
}

// TestRefused: a stream that asks for something it must not have fails with its place, leaves nothing, and nothing
// beside the new subvolume is changed. What a symbolic link leads to is never reached.
func TestRefused(t *testing.T) {
	mount := loopfs.New(t, "256M")
	g := targetOn(t, mount)
	outside := filepath.Join(mount, "outside")
	must(t, os.WriteFile(outside, []byte("canary"), 0o600))
	must(t, os.Mkdir(outside+"dir", 0o700))
	before := tree(t, mount, look{})
	now := []ts.Attr{ts.Time(11, 1, 2), ts.Time(10, 3, 4), ts.Time(9, 5, 6)}
	for _, tt := range []struct {
		name     string
		version  uint32
		commands [][]byte
		want     error
		says     string
	}{
		{"no subvolume first", 1, [][]byte{file}, receive.ErrStream, "it begins with sendstream.Make"},
		{"nothing but an end", 1, nil, receive.ErrStream, "it begins with sendstream.End"},
		{"subvolume without a UUID", 1, [][]byte{ts.Command(1, false, ts.Text(15, "s"), ts.Attr{Kind: 1, Value: make([]byte, 16)}, ts.U64(2, 5))}, receive.ErrStream, "no UUID"},
		{"a second subvolume", 1, [][]byte{subvol, subvol}, receive.ErrStream, "sendstream.Subvol in the middle"},
		{"without data", 1, [][]byte{subvol, file, on(22, "f", ts.U64(18, 0), ts.U64(4, 1))}, receive.ErrStream, "without file data"},
		{"path that goes up", 1, [][]byte{subvol, ts.Command(3, false, ts.Text(15, "../f"), ts.U64(3, 257))}, sendstream.ErrFormat, ""},
		{"absolute path", 1, [][]byte{subvol, ts.Command(3, false, ts.Text(15, "/tmp/f"), ts.U64(3, 257))}, sendstream.ErrFormat, ""},
		{"the root made anew", 1, [][]byte{subvol, ts.Command(4, false, ts.Text(15, ""), ts.U64(3, 256))}, receive.ErrStream, "the root"},
		{"the root removed", 1, [][]byte{subvol, on(12, "")}, receive.ErrStream, "the root"},
		{"the root renamed", 1, [][]byte{subvol, ts.Command(9, false, ts.Text(15, ""), ts.Text(16, "x"))}, receive.ErrStream, "the root"},
		{"write to the root", 1, [][]byte{subvol, write("", 0, "x")}, receive.ErrStream, "not a regular file"},
		{"name in use", 1, [][]byte{subvol, file, file}, unix.EEXIST, "at byte"},
		{"rename over something", 1, [][]byte{subvol, file, dir, ts.Command(9, false, ts.Text(15, "f"), ts.Text(16, "d"))}, unix.EEXIST, ""},
		{"what is not there", 1, [][]byte{subvol, on(11, "nothing")}, unix.ENOENT, "at byte 64"},
		{"name of 256 bytes", 1, [][]byte{subvol, ts.Command(3, false, ts.Text(15, strings.Repeat("x", 256)), ts.U64(3, 257))}, unix.ENAMETOOLONG, ""},
		{"file made through a link", 1, [][]byte{subvol, out, ts.Command(3, false, ts.Text(15, "out/f"), ts.U64(3, 258))}, unix.ENOTDIR, ""},
		{"file made below a link", 1, [][]byte{subvol, out, ts.Command(3, false, ts.Text(15, "out/etc/f"), ts.U64(3, 258))}, unix.ELOOP, ""},
		{"write through a link", 1, [][]byte{subvol, outTop, write("abs", 0, "owned")}, receive.ErrStream, "not a regular file"},
		{"write through a link on the way", 1, [][]byte{subvol, out, write("out/canary", 0, "owned")}, unix.ENOTDIR, ""},
		{"chmod of a link", 1, [][]byte{subvol, out, on(18, "out", ts.U64(5, 0o777))}, unix.EOPNOTSUPP, ""},
		{"cut through a link", 1, [][]byte{subvol, out, on(17, "out", ts.U64(4, 0))}, receive.ErrStream, "not a regular file"},
		{"user attribute through a link", 1, [][]byte{subvol, out, on(13, "out", ts.Text(13, "user.x"), ts.Text(14, "y"))}, unix.EPERM, ""},
		{"hard link to the outside", 1, [][]byte{subvol, out, ts.Command(10, false, ts.Text(15, "l"), ts.Text(17, "out/outside"))}, unix.ENOTDIR, ""},
		{"clone through a link", 1, [][]byte{subvol, outTop, file, cloneFrom("f", uuid, "abs", 10)}, receive.ErrStream, "not a regular file"},
		{"clone from a directory", 1, [][]byte{subvol, dir, file, cloneFrom("f", uuid, "d", 10)}, receive.ErrStream, "not a regular file"},
		{"clone from the root", 1, [][]byte{subvol, file, cloneFrom("f", uuid, "", 10)}, receive.ErrStream, "not a regular file"},
		{"clone from nowhere", 1, [][]byte{subvol, file, cloneFrom("f", bytes.Repeat([]byte{8}, 16), "f", 10)}, receive.ErrNoSource, "none has that UUID"},
		{"clone past the end", 1, [][]byte{subvol, file, ts.Command(3, false, ts.Text(15, "g"), ts.U64(3, 259)), write("g", 0, "short"), cloneFrom("f", uuid, "g", 100_000)}, receive.ErrStream, "too early"},
		{"clone onto itself", 1, [][]byte{subvol, file, write("f", 0, "itself"), cloneFrom("f", uuid, "f", 3)}, receive.ErrStream, "onto itself"},
		{"clone of nothing", 1, [][]byte{subvol, file, cloneFrom("f", uuid, "f", 0)}, receive.ErrStream, "0 bytes"},
		{"clone that wraps", 1, [][]byte{subvol, file, cloneFrom("f", uuid, "f", 1<<64-1)}, receive.ErrStream, ""},
		{"write to a device", 1, [][]byte{subvol, device, write("dev", 0, "x")}, receive.ErrStream, "not a regular file"},
		{"cut a device", 1, [][]byte{subvol, device, on(17, "dev", ts.U64(4, 0))}, receive.ErrStream, "not a regular file"},
		{"write to a fifo", 1, [][]byte{subvol, fifo, write("fifo", 0, "x")}, receive.ErrStream, "not a regular file"},
		{"device that is none", 1, [][]byte{subvol, ts.Command(5, false, ts.Text(15, "n"), ts.U64(3, 261), ts.U64(8, 0x700), ts.U64(5, unix.S_IFREG|0o600))}, receive.ErrStream, "device"},
		{"device number of 64 bits", 1, [][]byte{subvol, ts.Command(5, false, ts.Text(15, "n"), ts.U64(3, 261), ts.U64(8, 1<<32), ts.U64(5, unix.S_IFCHR|0o600))}, receive.ErrStream, "device"},
		{"write at the end of all", 1, [][]byte{subvol, file, write("f", 1<<63-1, "x")}, receive.ErrStream, "1 bytes at"},
		{"write past the end of all", 1, [][]byte{subvol, file, write("f", 1<<64-1, "x")}, receive.ErrStream, "1 bytes at"},
		{"cut to 16 EiB", 1, [][]byte{subvol, file, on(17, "f", ts.U64(4, 1<<64-1))}, receive.ErrStream, "to 18446744073709551615 bytes"},
		{"allocate 8 EiB", 2, [][]byte{subvol, file, on(23, "f", ts.U32(25, 0), ts.U64(18, 0), ts.U64(4, 1<<63-1))}, unix.ENOSPC, ""},
		{"allocate what wraps", 2, [][]byte{subvol, file, on(23, "f", ts.U32(25, 0), ts.U64(18, 1<<63-1), ts.U64(4, 1<<63))}, receive.ErrStream, ""},
		{"collapse", 2, [][]byte{subvol, file, on(23, "f", ts.U32(25, 8), ts.U64(18, 0), ts.U64(4, 4096))}, unix.EOPNOTSUPP, ""},
		{"owner that means none", 1, [][]byte{subvol, file, on(19, "f", ts.U64(6, 1<<32-1), ts.U64(7, 0))}, receive.ErrStream, "owner 4294967295"},
		{"owner of 64 bits", 1, [][]byte{subvol, file, on(19, "f", ts.U64(6, 0), ts.U64(7, 1<<40))}, receive.ErrStream, "group"},
		{"attribute removed that is not there", 1, [][]byte{subvol, file, on(14, "f", ts.Text(13, "user.x"))}, unix.ENODATA, ""},
		{"attribute of an unknown kind", 1, [][]byte{subvol, file, on(13, "f", ts.Text(13, "nonsense"), ts.Text(14, ""))}, unix.EOPNOTSUPP, ""},
		{"compressed garbage that the kernel does not take", 2, [][]byte{subvol, file, ts.Command(25, true, ts.Text(15, "f"), ts.U64(18, 1), ts.U64(27, 10), ts.U64(28, 10), ts.U64(29, 0), ts.U32(30, 2), ts.Text(19, "garbage"))}, receive.ErrStream, "zstd"},
		{"LZO of blocks of another size", 2, [][]byte{subvol, file, ts.Command(25, true, ts.Text(15, "f"), ts.U64(18, 0), ts.U64(27, 4096), ts.U64(28, 4096), ts.U64(29, 0), ts.U32(30, 7), ts.Text(19, "lzo"))}, nil, "LZO"},
		{"compressed data of 1 GiB", 2, [][]byte{subvol, file, ts.Command(25, true, ts.Text(15, "f"), ts.U64(18, 0), ts.U64(27, 1<<30), ts.U64(28, 1<<30), ts.U64(29, 0), ts.U32(30, 2), ts.Text(19, "x"))}, receive.ErrStream, ""},
		{"verity of a directory", 3, [][]byte{subvol, dir, ts.Command(26, true, ts.Text(15, "d"), ts.Attr{Kind: 32, Value: []byte{1}}, ts.U32(33, 4096), ts.Text(34, ""), ts.Text(35, ""))}, receive.ErrStream, "not a regular file"},
		{"times through a link on the way", 1, [][]byte{subvol, out, on(20, "out/x", now...)}, unix.ENOTDIR, ""},
		{"directory that is not empty", 1, [][]byte{subvol, dir, ts.Command(3, false, ts.Text(15, "d/f"), ts.U64(3, 270)), on(12, "d")}, unix.ENOTEMPTY, ""},
		{"directory into itself", 1, [][]byte{subvol, dir, ts.Command(9, false, ts.Text(15, "d"), ts.Text(16, "d/e"))}, unix.EINVAL, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := g.receive(t, ts.Stream(tt.version, append(tt.commands, ts.End())...), "")
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %v and %q", err, tt.want, tt.says)
			}
			g.wantUntouched(t)
		})
	}
	after := tree(t, mount, look{})
	for i, line := range after {
		if !strings.HasPrefix(line, `"work"`) && line != before[i] {
			t.Errorf("changed:\n%s\n%s", before[i], line)
		}
	}
	if content, err := os.ReadFile(outside); err != nil || string(content) != "canary" {
		t.Errorf("the canary says %q, %v", content, err)
	}
}

// TestTruncatedAnywhere: a stream that is truncated at any byte publishes nothing.
func TestTruncatedAnywhere(t *testing.T) {
	d := newDisk(t, "128M")
	script(t, d.subvolume(t, "s"), `echo hello >a; mkdir d; ln a d/b; ln -s a l; setfattr -n user.x -v y a; chown 1:2 d`)
	stream := send(t, d.snapshot(t, "s", "snap"), nil, btrfs.SendOptions{})
	g := newTarget(t, "256M")
	for i := range stream {
		if _, err := g.receive(t, stream[:i], ""); !errors.Is(err, sendstream.ErrFormat) {
			t.Fatalf("cut off at %d of %d: %v", i, len(stream), err)
		}
		if i%200 == 0 {
			must(t, btrfs.Sync(g.dest))
		}
	}
	g.wantUntouched(t)
	for i := 30; i < len(stream); i += 7 {
		damaged := bytes.Clone(stream)
		damaged[i] ^= 4
		if _, err := g.receive(t, damaged, ""); !errors.Is(err, sendstream.ErrFormat) {
			t.Errorf("byte %d damaged: %v", i, err)
		}
	}
	g.wantUntouched(t)
	g.mustReceive(t, stream, "")
	wantSameTree(t, d.path("snap"), g.path("snap"), look{})
}

// TestTargets: an unsuitable target is refused, and nothing is left in it.
func TestTargets(t *testing.T) {
	d := newDisk(t, "256M")
	script(t, d.subvolume(t, "s"), `head -c 60000000 /dev/urandom >a`)
	stream := send(t, d.snapshot(t, "s", "snap"), nil, btrfs.SendOptions{})

	t.Run("name in use", func(t *testing.T) {
		g := newTarget(t, "256M")
		must(t, os.Symlink("nowhere", g.path("snap")))
		if _, err := g.receive(t, stream, ""); !errors.Is(err, fs.ErrExist) {
			t.Errorf("error %v, want EEXIST", err)
		}
		g.wantUntouched(t, "snap")
	})
	t.Run("no name for an entry", func(t *testing.T) {
		g := newTarget(t, "256M")
		for _, name := range []string{"a/b", "..", strings.Repeat("x", 256)} {
			if _, err := g.receive(t, stream, name); !errors.Is(err, btrfs.ErrInvalidName) {
				t.Errorf("%q: error %v, want ErrInvalidName", name, err)
			}
		}
		g.wantUntouched(t)
	})
	t.Run("full", func(t *testing.T) {
		g := newTarget(t, "48M")
		if _, err := g.receive(t, stream, ""); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "at byte") {
			t.Errorf("error %v, want ENOSPC and its place", err)
		}
		g.wantUntouched(t)
	})
	t.Run("read-only", func(t *testing.T) {
		image := loopfs.NewImage(t, "128M", "btrfs")
		g := targetOn(t, image.Mount)
		image.SetOptions(t, "ro")
		if _, err := g.receive(t, stream, ""); !errors.Is(err, unix.EROFS) {
			t.Errorf("error %v, want EROFS", err)
		}
		g.wantUntouched(t)
	})
	t.Run("not btrfs", func(t *testing.T) {
		dir := loopfs.NewFS(t, "32M", "ext4")
		must(t, os.Mkdir(dir+"/work", 0o700))
		root, err := os.Open(dir)
		must(t, err)
		defer root.Close()
		work, err := os.Open(dir + "/work")
		must(t, err)
		defer work.Close()
		_, err = receive.Receive(t.Context(), bytes.NewReader(stream), receive.Options{Dest: root, Work: work})
		if !errors.Is(err, btrfs.ErrNotBtrfs) {
			t.Errorf("error %v, want ErrNotBtrfs", err)
		}
	})
	t.Run("others may enter", func(t *testing.T) {
		g := newTarget(t, "256M")
		must(t, g.work.Chmod(0o711))
		if _, err := g.receive(t, stream, ""); err == nil || !strings.Contains(err.Error(), "others may enter") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("left by a run that died", func(t *testing.T) {
		g := newTarget(t, "256M")
		must(t, btrfs.CreateSubvolume(g.work, "incoming"))
		must(t, os.WriteFile(g.work.Name()+"/incoming/half", nil, 0o600))
		g.mustReceive(t, stream, "")
		g.wantUntouched(t, "snap")
	})
	t.Run("cancelled", func(t *testing.T) {
		g := newTarget(t, "256M")
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why not")
		r := &cancels{bytes.NewReader(stream), func() { cancel(why) }}
		_, err := receive.Receive(ctx, r, receive.Options{Dest: g.dest, Work: g.work})
		if !errors.Is(err, why) {
			t.Errorf("error %v, want %v", err, why)
		}
		g.wantUntouched(t)
	})
	t.Run("reader fails", func(t *testing.T) {
		g := newTarget(t, "256M")
		broken := errors.New("broken")
		r := io.MultiReader(bytes.NewReader(stream[:1_000_000]), fails{broken})
		_, err := receive.Receive(t.Context(), r, receive.Options{Dest: g.dest, Work: g.work})
		if !errors.Is(err, broken) || errors.Is(err, sendstream.ErrFormat) {
			t.Errorf("error %v, want %v", err, broken)
		}
		g.wantUntouched(t)
	})
}

type cancels struct {
	io.Reader
	cancel func()
}

func (c *cancels) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if n > 0 && errors.Is(err, nil) {
		c.cancel()
	}
	return n, err
}

type fails struct{ err error }

func (f fails) Read([]byte) (int, error) { return 0, f.err }
