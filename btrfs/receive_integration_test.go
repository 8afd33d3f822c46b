//go:build integration

package btrfs_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// TestSetReceived: what is written can be read, by btrfs-progs too, a read-only snapshot keeps it, a writable one does
// not, and a later change shows in the transactions.
func TestSetReceived(t *testing.T) {
	w := newWorld(t)
	uuid := btrfs.UUID{1, 2, 3}
	must(t, os.WriteFile(w.sub.Name()+"/a", []byte("a"), 0o644))
	must(t, btrfs.Sync(w.root))
	must(t, btrfs.SetReceived(w.sub, uuid, 42))
	must(t, btrfs.CreateSnapshot(w.root, "kept", w.sub, btrfs.SnapshotOptions{ReadOnly: true}))
	must(t, btrfs.CreateSnapshot(w.root, "lost", w.sub, btrfs.SnapshotOptions{}))

	for _, f := range []*os.File{w.sub, openDir(t, w.root.Name()+"/kept")} {
		info := value(btrfs.SubvolumeInfo(f))(t)
		if info.ReceivedUUID != uuid || info.STransID != 42 || info.RTransID == 0 || info.RTime.IsZero() || info.CTransID > info.RTransID {
			t.Errorf("%s: %+v", f.Name(), info)
		}
		if show := witness(t, "subvolume", "show", f.Name()); !strings.Contains(show, uuid.String()) {
			t.Errorf("btrfs subvolume show %s:\n%s", f.Name(), show)
		}
	}
	if info := value(btrfs.SubvolumeInfo(openDir(t, w.root.Name()+"/lost")))(t); !info.ReceivedUUID.IsZero() {
		t.Errorf("a writable snapshot has the received UUID %s", info.ReceivedUUID)
	}
	must(t, os.WriteFile(w.sub.Name()+"/a", []byte("b"), 0o644))
	must(t, btrfs.Sync(w.root))
	if info := value(btrfs.SubvolumeInfo(w.sub))(t); info.CTransID <= info.RTransID {
		t.Errorf("changed since it was received, but CTransID %d, RTransID %d", info.CTransID, info.RTransID)
	}

	set := func(f *os.File) error { return btrfs.SetReceived(f, uuid, 1) }
	checkFailures(t, "BTRFS_IOC_SET_RECEIVED_SUBVOL", append([]failure{
		{"read-only", set(w.ro), []error{unix.EROFS}, nil},
		{"plain directory", set(w.plain), []error{btrfs.ErrNotSubvolume}, nil},
		notBtrfs(set(w.ext4)),
	}, opened(set(w.subPath), set(w.closed))...))
}

// TestCloneRange shares a part of a file. An end that is not aligned must be the end of the file that grows.
func TestCloneRange(t *testing.T) {
	w := newWorld(t)
	data := random(t, 40<<10+100)
	src := createFile(t, w.root.Name()+"/src", string(data))
	dst := createFile(t, w.root.Name()+"/dst", strings.Repeat("x", 8<<10))
	must(t, btrfs.CloneRange(dst, src, 8<<10, 16<<10, 8<<10))
	must(t, btrfs.CloneRange(dst, src, 16<<10, 32<<10, 8<<10+100))
	got := value(os.ReadFile(dst.Name()))(t)
	if want := append(bytes.Repeat([]byte("x"), 8<<10), append(data[16<<10:24<<10:24<<10], data[32<<10:]...)...); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d others", len(got), len(want))
	}
	long := createFile(t, w.root.Name()+"/long", strings.Repeat("x", 100<<10))
	nodata := createFile(t, w.root.Name()+"/nodata", "")
	must(t, btrfs.SetFileFlags(nodata, btrfs.FlagNoCOW))
	other := createFile(t, w.other.Name()+"/f", "")
	checkFailures(t, "FICLONERANGE", []failure{
		{"unaligned end inside a longer file", btrfs.CloneRange(long, src, 0, 0, 40<<10+100), []error{unix.EINVAL}, nil},
		{"unaligned offset", btrfs.CloneRange(dst, src, 1, 0, 4096), []error{unix.EINVAL}, nil},
		{"past the end of the source", btrfs.CloneRange(dst, src, 0, 0, 1<<20), []error{unix.EINVAL}, nil},
		{"no checksums on one side", btrfs.CloneRange(nodata, src, 0, 0, 4096), []error{unix.EINVAL}, nil},
		{"another filesystem", btrfs.CloneRange(other, src, 0, 0, 4096), []error{unix.EXDEV}, nil},
		{"closed", btrfs.CloneRange(w.closed, src, 0, 0, 4096), []error{os.ErrClosed}, nil},
	})
}

// TestWritesTakeTheCapability: a clone and an encoded write take it away like any write, so a receiver has to set it
// again.
func TestWritesTakeTheCapability(t *testing.T) {
	w := newWorld(t)
	src := createFile(t, w.root.Name()+"/src", string(random(t, 8<<10)))
	compressed, n := deflated(t)
	for name, change := range map[string]func(f *os.File) error{
		"clone":   func(f *os.File) error { return btrfs.CloneRange(f, src, 0, 0, 4096) },
		"encoded": func(f *os.File) error { return btrfs.WriteEncoded(f, zlibOf(n), compressed) },
		"chown":   func(f *os.File) error { return f.Chown(1, 1) },
	} {
		f := createFile(t, w.root.Name()+"/"+name, "")
		if out, err := exec.Command("setcap", "cap_net_raw+ep", f.Name()).CombinedOutput(); err != nil {
			t.Fatalf("setcap: %v\n%s", err, out)
		}
		must(t, change(f))
		if _, err := unix.Fgetxattr(int(f.Fd()), "security.capability", nil); !errors.Is(err, unix.ENODATA) {
			t.Errorf("%s: the capability is still there: %v", name, err)
		}
	}
}

func deflated(t *testing.T) (compressed []byte, length int) {
	t.Helper()
	plain := bytes.Repeat([]byte("compressible "), 5000)
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	value(z.Write(plain))(t)
	must(t, z.Close())
	return b.Bytes(), len(plain)
}

func zlibOf(n int) btrfs.Encoded {
	return btrfs.Encoded{Len: uint64(n), UnencodedLen: uint64(n), Compression: btrfs.CompressionZlib}
}

func TestWriteEncoded(t *testing.T) {
	w := newWorld(t)
	compressed, n := deflated(t)
	f := createFile(t, w.root.Name()+"/encoded", "")
	must(t, btrfs.WriteEncoded(f, zlibOf(n), compressed))
	if got, want := value(os.ReadFile(f.Name()))(t), bytes.Repeat([]byte("compressible "), 5000); !bytes.Equal(got, want) {
		t.Errorf("%d bytes read back, want %d others", len(got), len(want))
	}
	encoded := 0
	for _, extent := range value(btrfs.Extents(f, 0, 1<<30))(t) {
		if extent.Compressed {
			encoded++
		}
	}
	if encoded == 0 {
		t.Error("no extent of it is compressed on disk")
	}

	write := func(f *os.File, e btrfs.Encoded, data []byte) error { return btrfs.WriteEncoded(f, e, data) }
	shifted, large, lzo := zlibOf(n), zlibOf(n), zlibOf(n)
	shifted.Offset, large.UnencodedLen, lzo.Compression = 1, 1<<20, btrfs.CompressionLZO64K
	plain := createFile(t, w.ext4.Name()+"/f", "")
	checkFailures(t, "BTRFS_IOC_ENCODED_WRITE", []failure{
		{"unaligned", write(f, shifted, compressed), []error{unix.EINVAL}, nil},
		{"too long", write(f, large, compressed), []error{unix.EINVAL}, nil},
		{"blocks of another size", write(f, lzo, compressed), []error{unix.EINVAL}, nil},
		{"no data", write(f, zlibOf(n), nil), []error{unix.EINVAL}, nil},
		{"open for reading", write(openFlags(t, f.Name(), os.O_RDONLY), zlibOf(n), compressed), []error{unix.EBADF}, nil},
		{"closed", write(w.closed, zlibOf(n), compressed), []error{os.ErrClosed}, nil},
		notBtrfs(write(plain, zlibOf(n), compressed)),
	})
}

func TestFileFlags(t *testing.T) {
	w := newWorld(t)
	for _, flag := range []uint32{btrfs.FlagCompress, btrfs.FlagSync, btrfs.FlagImmutable, btrfs.FlagAppend, btrfs.FlagNoDump,
		btrfs.FlagNoAtime, btrfs.FlagNoCompress, btrfs.FlagNoCOW} {
		must(t, btrfs.SetFileFlags(w.file, 0))
		must(t, w.file.Truncate(0))
		must(t, btrfs.SetFileFlags(w.file, flag))
		if got := value(btrfs.FileFlags(w.file))(t); got != flag {
			t.Errorf("flags %#x, want %#x", got, flag)
		}
	}
	must(t, btrfs.SetFileFlags(w.file, 0))
	must(t, unix.Fsetxattr(int(w.file.Fd()), "btrfs.compression", []byte("zstd"), 0))
	must(t, btrfs.SetFileFlags(w.file, btrfs.FlagCompress|btrfs.FlagImmutable|btrfs.FlagNoDump))
	buf := make([]byte, 10)
	if n := value(unix.Fgetxattr(int(w.file.Fd()), "btrfs.compression", buf))(t); string(buf[:n]) != "zstd" {
		t.Errorf("the property became %q", buf[:n])
	}
	must(t, btrfs.SetFileFlags(w.file, 0))
	value(w.file.WriteString("content"))(t)
	must(t, btrfs.SetFileFlags(w.file, btrfs.FlagNoCOW))
	if got := value(btrfs.FileFlags(w.file))(t); got != 0 {
		t.Errorf("flags %#x of a file with data, want those before", got)
	}
	checkFailures(t, "FS_IOC_FSSETXATTR", []failure{
		{"read-only subvolume", btrfs.SetFileFlags(w.ro, btrfs.FlagSync), []error{unix.EROFS}, nil},
	})
	checkFailures(t, "FS_IOC_SETFLAGS", []failure{
		{"exclude each other", btrfs.SetFileFlags(w.file, btrfs.FlagCompress|btrfs.FlagNoCompress), []error{unix.EINVAL}, nil},
		{"unknown", btrfs.SetFileFlags(w.file, 1<<30), []error{unix.EOPNOTSUPP}, nil},
	})
	if err := btrfs.SetFileFlags(w.closed, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestEnableVerity: with a kernel that has it the file is verified from then on; one without says so.
func TestEnableVerity(t *testing.T) {
	w := newWorld(t)
	path := w.root.Name() + "/verity"
	must(t, os.WriteFile(path, random(t, 100<<10), 0o644))
	f := openFlags(t, path, os.O_RDONLY)
	err := btrfs.EnableVerity(f, btrfs.Verity{HashAlgorithm: 1, BlockSize: 4096, Salt: []byte("salt")})
	if _, noVerity := os.Stat("/proc/sys/fs/verity"); noVerity == nil {
		must(t, err)
		if err := os.WriteFile(path, nil, 0o644); !errors.Is(err, unix.EPERM) {
			t.Errorf("write to a file with verity: %v, want EPERM", err)
		}
		return
	}
	checkFailures(t, "FS_IOC_ENABLE_VERITY", []failure{{"kernel without it", err, []error{unix.EOPNOTSUPP}, nil}})
}

// TestSendVersions: version 2 has compressed data as it is on disk, and what is shared with a clone source is not sent.
func TestSendVersions(t *testing.T) {
	dir := loopfs.New(t, "512M", "compress-force=zlib")
	root := openDir(t, dir)
	must(t, btrfs.CreateSubvolume(root, "sub"))
	sub := openDir(t, dir+"/sub")
	must(t, os.WriteFile(dir+"/sub/text", bytes.Repeat([]byte("compressible "), 200_000), 0o644))
	must(t, os.WriteFile(dir+"/sub/noise", random(t, 1<<20), 0o644))
	must(t, btrfs.CreateSnapshot(root, "old", sub, btrfs.SnapshotOptions{ReadOnly: true}))
	old := openDir(t, dir+"/old")
	if out, err := exec.Command("cp", "--reflink=always", dir+"/sub/noise", dir+"/sub/copy").CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	must(t, os.Remove(dir+"/sub/noise"))
	must(t, btrfs.CreateSnapshot(root, "new", sub, btrfs.SnapshotOptions{ReadOnly: true}))
	next := openDir(t, dir+"/new")

	size := func(parent *os.File, o btrfs.SendOptions) int {
		t.Helper()
		var b bytes.Buffer
		must(t, btrfs.Send(t.Context(), next, parent, &b, o))
		version := uint32(max(o.Version, 1))
		if got := b.Bytes()[13]; uint32(got) != version {
			t.Errorf("stream of version %d, want %d", got, version)
		}
		return b.Len()
	}
	plain, packed := size(nil, btrfs.SendOptions{Version: 2}), size(nil, btrfs.SendOptions{Version: 2, Compressed: true})
	if plain < 3<<20 || packed > 3<<19 {
		t.Errorf("%d bytes, compressed %d", plain, packed)
	}
	sent, cloned := size(old, btrfs.SendOptions{}), size(old, btrfs.SendOptions{CloneSources: []*os.File{old}})
	if sent < 1<<20 || cloned > 10_000 {
		t.Errorf("%d bytes, with a clone source %d", sent, cloned)
	}

	must(t, btrfs.CreateSubvolume(root, "writable"))
	elsewhere := openDir(t, loopfs.New(t, "128M"))
	must(t, btrfs.CreateSubvolume(elsewhere, "s"))
	fail := func(o btrfs.SendOptions) error { return btrfs.Send(t.Context(), next, nil, &bytes.Buffer{}, o) }
	checkFailures(t, "BTRFS_IOC_SEND", []failure{
		{"compressed in version 1", fail(btrfs.SendOptions{Version: 1, Compressed: true}), []error{unix.EINVAL}, nil},
		{"version to come", fail(btrfs.SendOptions{Version: 99}), []error{unix.EPROTO}, nil},
		{"writable clone source", fail(btrfs.SendOptions{CloneSources: []*os.File{openDir(t, dir+"/writable")}}), []error{btrfs.ErrWritable, unix.EPERM}, nil},
		{"clone source elsewhere", fail(btrfs.SendOptions{CloneSources: []*os.File{openDir(t, elsewhere.Name()+"/s")}}), []error{unix.EINVAL}, nil},
	})
}
