//go:build integration

package differential

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// A streamed is what a send stream says of one inode.
type streamed struct {
	kind    string
	mode    uint64
	owner   string
	mtime   string
	flags   uint64
	xattrs  map[string]string
	data    []byte
	written map[uint64]bool // by blocks: what is not is a hole
}

const streamBlock = 4096

func (s *streamed) write(offset uint64, data []byte) {
	if end := offset + uint64(len(data)); end > uint64(len(s.data)) {
		s.data = append(s.data, make([]byte, end-uint64(len(s.data)))...)
	}
	copy(s.data[offset:], data)
	for at := offset / streamBlock; at*streamBlock < offset+uint64(len(data)); at++ {
		s.written[at] = true
	}
}

// readStream sends a whole subvolume and notes what the kernel says about each path. The order of the commands, which
// is that of inode numbers, does not matter.
func readStream(t *testing.T, path string) manifest {
	t.Helper()
	root := testdest.OpenDir(t, path)
	defer root.Close()
	sending, err := btrfs.StartSend(t.Context(), root, nil, btrfs.SendOptions{Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer sending.Close()
	tree := map[string]*streamed{"": {kind: "root", xattrs: map[string]string{}}}
	for c, err := range sendstream.Commands(sending) {
		if err != nil {
			t.Fatal(err)
		}
		play(t, tree, c)
	}
	first := map[*streamed]string{}
	lines := map[string]string{}
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		s := tree[path]
		if first[s] == "" {
			first[s] = path
		}
		blocks := slices.Sorted(maps.Keys(s.written))
		lines[path] = fmt.Sprintf("%s mode=%o owner=%s mtime=%s flags=%x size=%d sha256=%x written=%d:%x first=%q", s.kind, s.mode, s.owner, s.mtime, s.flags,
			len(s.data), sha256.Sum256(s.data), len(blocks), sha256.Sum256(fmt.Append(nil, blocks)), first[s])
		for _, name := range slices.Sorted(maps.Keys(s.xattrs)) {
			lines[path] += fmt.Sprintf(" %s=%x", name, s.xattrs[name])
		}
	}
	return manifest{lines: lines}
}

func play(t *testing.T, tree map[string]*streamed, command sendstream.Command) {
	at := func(path string) *streamed {
		if tree[path] == nil {
			t.Fatalf("%T: nothing at %q", command, path)
		}
		return tree[path]
	}
	switch c := command.(type) {
	case sendstream.Subvol, sendstream.End, sendstream.Fallocate:
	case sendstream.Make:
		tree[c.Path] = &streamed{kind: fmt.Sprint(c.Kind, " ", c.Target, " ", c.RDev), xattrs: map[string]string{}, written: map[uint64]bool{}}
	case sendstream.Rename:
		at(c.Path)
		for path, s := range maps.Clone(tree) {
			if rest, ok := strings.CutPrefix(path, c.Path); ok && (rest == "" || rest[0] == '/') {
				delete(tree, path)
				tree[c.To+rest] = s
			}
		}
	case sendstream.Link:
		tree[c.Path] = at(c.Target)
	case sendstream.Unlink:
		delete(tree, c.Path)
	case sendstream.Rmdir:
		delete(tree, c.Path)
	case sendstream.Write:
		at(c.Path).write(c.Offset, c.Data)
	case sendstream.Clone:
		at(c.Path).write(c.Offset, slices.Clone(at(c.From).data[c.FromOffset:c.FromOffset+c.Len]))
	case sendstream.Truncate:
		s := at(c.Path)
		s.data = append(s.data, make([]byte, max(int(c.Size)-len(s.data), 0))...)[:c.Size]
	default:
		describe(t, at, command)
	}
}

func describe(t *testing.T, at func(string) *streamed, command sendstream.Command) {
	switch c := command.(type) {
	case sendstream.Chmod:
		at(c.Path).mode = c.Mode
	case sendstream.Chown:
		at(c.Path).owner = fmt.Sprint(c.UID, ":", c.GID)
	case sendstream.Utimes:
		at(c.Path).mtime = fmt.Sprint(c.Mtime.UnixNano())
	case sendstream.FileAttr:
		at(c.Path).flags = c.Flags
	case sendstream.SetXattr:
		at(c.Path).xattrs[c.Name] = string(c.Value)
	case sendstream.RemoveXattr:
		delete(at(c.Path).xattrs, c.Name)
	default:
		t.Fatalf("%T in a whole stream", command)
	}
}

// holes are what SEEK_HOLE finds in the files of a tree, by whole blocks.
func readHoles(t *testing.T, root string, paths manifest) manifest {
	t.Helper()
	lines := map[string]string{}
	for rel, line := range paths.lines {
		if !strings.Contains(line, " size=") {
			continue
		}
		f, err := os.Open(root + "/" + rel)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for at := int64(0); ; {
			data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
			if err != nil {
				break
			}
			hole, err := unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, " %d-%d", data/streamBlock, (hole+streamBlock-1)/streamBlock)
			at = hole
		}
		lines[rel] = text.String()
		f.Close()
	}
	return manifest{lines: lines}
}
