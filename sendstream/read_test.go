package sendstream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
)

// collect reads a stream to its end or to an error.
func collect(r io.Reader) (commands []sendstream.Command, err error) {
	for c, err := range sendstream.Commands(r) {
		if err != nil {
			return commands, err
		}
		commands = append(commands, clone(c))
	}
	return commands, nil
}

// clone keeps the bytes of a command, which are valid until the next.
func clone(c sendstream.Command) sendstream.Command {
	switch c := c.(type) {
	case sendstream.SetXattr:
		c.Value = bytes.Clone(c.Value)
		return c
	case sendstream.Write:
		c.Data = bytes.Clone(c.Data)
		return c
	case sendstream.EncodedWrite:
		c.Data = bytes.Clone(c.Data)
		return c
	case sendstream.EnableVerity:
		c.Salt, c.Signature = bytes.Clone(c.Salt), bytes.Clone(c.Signature)
		return c
	}
	return c
}

var (
	id      = bytes.Repeat([]byte{7}, 16)
	otherID = bytes.Repeat([]byte{9}, 16)
)

func TestCommands(t *testing.T) {
	p := text(15, "dir/a")
	for _, tt := range []struct {
		number  uint16
		version uint32
		attrs   []attr
		want    sendstream.Command
	}{
		{1, 1, []attr{text(15, "s"), bin(1, id), u64(2, 5)}, sendstream.Subvol{Path: "s", UUID: sendstream.UUID(id), CTransID: 5}},
		{2, 1, []attr{text(15, "s"), bin(1, id), u64(2, 5), bin(20, otherID), u64(21, 4)},
			sendstream.Snapshot{Path: "s", UUID: sendstream.UUID(id), CTransID: 5, ParentUUID: sendstream.UUID(otherID), ParentCTransID: 4}},
		{3, 1, []attr{p, u64(3, 257)}, sendstream.Make{Kind: sendstream.File, Path: "dir/a", Inode: 257}},
		{4, 1, []attr{p, u64(3, 257)}, sendstream.Make{Kind: sendstream.Dir, Path: "dir/a", Inode: 257}},
		{5, 1, []attr{p, u64(3, 257), u64(8, 0x103), u64(5, 0o20644)}, sendstream.Make{Kind: sendstream.Node, Path: "dir/a", Inode: 257, Mode: 0o20644, RDev: 0x103}},
		{6, 1, []attr{p, u64(3, 257), u64(8, 0), u64(5, 0o10644)}, sendstream.Make{Kind: sendstream.FIFO, Path: "dir/a", Inode: 257, Mode: 0o10644}},
		{7, 1, []attr{p, u64(3, 257), u64(8, 0), u64(5, 0o140644)}, sendstream.Make{Kind: sendstream.Socket, Path: "dir/a", Inode: 257, Mode: 0o140644}},
		{8, 1, []attr{p, u64(3, 257), text(17, "../x")}, sendstream.Make{Kind: sendstream.Symlink, Path: "dir/a", Inode: 257, Target: "../x"}},
		{9, 1, []attr{p, text(16, "b")}, sendstream.Rename{Path: "dir/a", To: "b"}},
		{10, 1, []attr{p, text(17, "b")}, sendstream.Link{Path: "dir/a", Target: "b"}},
		{11, 1, []attr{p}, sendstream.Unlink{Path: "dir/a"}},
		{12, 1, []attr{p}, sendstream.Rmdir{Path: "dir/a"}},
		{13, 1, []attr{p, text(13, "user.x"), text(14, "v")}, sendstream.SetXattr{Path: "dir/a", Name: "user.x", Value: []byte("v")}},
		{14, 1, []attr{p, text(13, "user.x")}, sendstream.RemoveXattr{Path: "dir/a", Name: "user.x"}},
		{15, 1, []attr{p, u64(18, 4096), text(19, "data")}, sendstream.Write{Path: "dir/a", Offset: 4096, Data: []byte("data")}},
		{15, 2, []attr{p, u64(18, 4096), text(19, strings.Repeat("d", 100_000))}, sendstream.Write{Path: "dir/a", Offset: 4096, Data: bytes.Repeat([]byte("d"), 100_000)}},
		{16, 1, []attr{p, u64(18, 1), u64(24, 2), text(22, "b"), bin(20, id), u64(21, 3), u64(23, 4)},
			sendstream.Clone{Path: "dir/a", Offset: 1, Len: 2, From: "b", FromUUID: sendstream.UUID(id), FromCTransID: 3, FromOffset: 4}},
		{17, 1, []attr{p, u64(4, 9)}, sendstream.Truncate{Path: "dir/a", Size: 9}},
		{18, 1, []attr{p, u64(5, 0o644)}, sendstream.Chmod{Path: "dir/a", Mode: 0o644}},
		{19, 1, []attr{p, u64(6, 1), u64(7, 2)}, sendstream.Chown{Path: "dir/a", UID: 1, GID: 2}},
		{20, 1, []attr{p, timespec(11, 1, 2), timespec(10, 3, 4), timespec(9, 5, 6)},
			sendstream.Utimes{Path: "dir/a", Atime: time.Unix(1, 2), Mtime: time.Unix(3, 4), Ctime: time.Unix(5, 6)}},
		{20, 1, []attr{text(15, ""), timespec(11, 1, 2), timespec(10, 3, 4), timespec(9, 5, 6)},
			sendstream.Utimes{Path: "", Atime: time.Unix(1, 2), Mtime: time.Unix(3, 4), Ctime: time.Unix(5, 6)}},
		{22, 1, []attr{p, u64(18, 1), u64(4, 2)}, sendstream.UpdateExtent{Path: "dir/a", Offset: 1, Len: 2}},
		{23, 2, []attr{p, u32(25, 3), u64(18, 1), u64(4, 2)}, sendstream.Fallocate{Path: "dir/a", Mode: 3, Offset: 1, Len: 2}},
		{24, 2, []attr{p, u64(26, 8)}, sendstream.FileAttr{Path: "dir/a", Flags: 8}},
		{25, 2, []attr{p, u64(18, 1), u64(27, 2), u64(28, 3), u64(29, 4), u32(30, 5), text(19, "zz")},
			sendstream.EncodedWrite{Path: "dir/a", Offset: 1, UnencodedFileLen: 2, UnencodedLen: 3, UnencodedOffset: 4, Compression: 5, Data: []byte("zz")}},
		{26, 3, []attr{p, bin(32, []byte{1}), u32(33, 4096), text(34, "salt"), text(35, "")},
			sendstream.EnableVerity{Path: "dir/a", Algorithm: 1, BlockSize: 4096, Salt: []byte("salt"), Signature: []byte{}}},
		{11, 1, []attr{p, text(99, "from a later kernel")}, sendstream.Unlink{Path: "dir/a"}},
	} {
		s := stream(tt.version, command(tt.number, tt.version > 1, tt.attrs...), end())
		t.Run(reflect.TypeOf(tt.want).Name(), func(t *testing.T) {
			got, err := collect(iotest.HalfReader(bytes.NewReader(s)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]sendstream.Command{tt.want, sendstream.End{}}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDamaged(t *testing.T) {
	unlink := command(11, false, text(15, "a"))
	flipped := bytes.Clone(unlink)
	flipped[len(flipped)-1] ^= 1
	endless := binary.LittleEndian.AppendUint32(nil, 0xffffffff)
	endless = append(endless, 11, 0, 0, 0, 0, 0)
	for _, tt := range []struct {
		name   string
		stream []byte
		want   string
	}{
		{"nothing", nil, "at byte 0: it ends after 0 of the 17 bytes of the stream header"},
		{"half a header", header(1)[:9], "it ends after 9 of the 17 bytes"},
		{"no stream", []byte("this is some text, no send stream"), "at byte 0: it does not begin with"},
		{"version 0", stream(0, end()), "version 0"},
		{"version to come", stream(4, end()), "version 4, known are 1 to 3"},
		{"no end", stream(1, unlink), "at byte 32: it ends after 0 of the 10 bytes of a command header"},
		{"half a command header", stream(1, unlink)[:20], "at byte 17: it ends after 3 of the 10"},
		{"half a command", stream(1, unlink)[:30], "at byte 27: it ends after 3 of the 5 bytes of a command"},
		{"wrong checksum", stream(1, flipped, end()), "at byte 17: command 11 has checksum"},
		{"too long", stream(1, endless), "a command of 4294967295 bytes, at most 1048576"},
		{"unknown command", stream(1, command(99, false)), "command 99: not a known command"},
		{"command 0", stream(1, command(0, false)), "command 0: not a known command"},
		{"missing attribute", stream(1, command(9, false, text(15, "a"))), "command 9: attribute 16 is missing"},
		{"attribute twice", stream(1, command(11, false, text(15, "a"), text(15, "b"))), "attribute 15 twice"},
		{"attribute of the wrong size", stream(1, command(18, false, text(15, "a"), u32(5, 1))), "attribute 5 has 4 bytes, want 8"},
		{"attribute past the end", stream(1, raw(11, []byte{15, 0, 9, 0, 'a'})), "attribute 15 of 9 bytes, 1 are left"},
		{"half an attribute header", stream(1, raw(11, []byte{15, 0, 9})), "attribute 15 is truncated"},
		{"a byte left over", stream(1, raw(11, []byte{15})), "1 bytes are left over"},
		{"path that goes up", stream(1, command(11, false, text(15, "a/../../b"))), `path "a/../../b"`},
		{"absolute path", stream(1, command(11, false, text(15, "/etc/passwd"))), `path "/etc/passwd"`},
		{"path with NUL", stream(1, command(11, false, text(15, "a\x00b"))), "path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := collect(bytes.NewReader(tt.stream))
			if !errors.Is(err, sendstream.ErrFormat) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// TestOffset: a reader can say at which byte a command begins.
func TestOffset(t *testing.T) {
	unlink := command(11, false, text(15, "a"))
	r := sendstream.NewReader(bytes.NewReader(stream(1, unlink, unlink, end())))
	for _, want := range []uint64{17, 17 + uint64(len(unlink)), 17 + 2*uint64(len(unlink))} {
		if _, err := r.Next(); err != nil || r.Offset() != want || r.Version() != 1 {
			t.Errorf("a command of version %d at byte %d, %v, want byte %d", r.Version(), r.Offset(), err, want)
		}
	}
}

// TestReaderFails: an error of the reader is not called a damaged stream.
func TestReaderFails(t *testing.T) {
	broken := errors.New("broken")
	_, err := collect(io.MultiReader(bytes.NewReader(header(1)), iotest.ErrReader(broken)))
	if err != broken {
		t.Errorf("error %v, want that of the reader", err)
	}
}

// TestGarbageLengthIsCheap: what a header claims is not allocated before it has been read.
func TestGarbageLengthIsCheap(t *testing.T) {
	claim := binary.LittleEndian.AppendUint32(nil, sendstream.MaxCommand)
	s := stream(1, append(claim, 11, 0, 0, 0, 0, 0))
	if n := testing.AllocsPerRun(10, func() { _, _ = collect(bytes.NewReader(s)) }); n > 50 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(stream(1, command(3, false, text(15, "o257-7-0"), u64(3, 257)), command(9, false, text(15, "o257-7-0"), text(16, "a")), end()))
	f.Add(stream(2, command(15, true, text(15, "a"), u64(18, 0), text(19, "data")), end()))
	f.Add(stream(1, command(13, false, text(15, "a"), text(13, "user.x"), text(14, "v")), end()))
	f.Add(stream(3, command(26, true, text(15, "a"), bin(32, []byte{1}), u32(33, 4096), text(34, "salt"), text(35, "")), end()))
	for _, s := range kernelStreams(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		commands, err := collect(bytes.NewReader(s))
		if err != nil && !errors.Is(err, sendstream.ErrFormat) {
			t.Fatalf("error %v, want one of the format", err)
		}
		if err == nil && (len(commands) == 0 || commands[len(commands)-1] != sendstream.End{}) {
			t.Fatal("no error, and no end")
		}
		// In pieces of any size it is the same.
		again, againErr := collect(iotest.OneByteReader(bytes.NewReader(s)))
		if !reflect.DeepEqual(commands, again) || (err == nil) != (againErr == nil) {
			t.Fatalf("byte by byte: %v, %v", again, againErr)
		}
	})
}
