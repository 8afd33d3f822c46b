//go:build integration

package receive_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"github.com/rsbtbackup/rsbtbackup/internal/receive"
	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func openDir(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := btrfs.OpenDir(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// disk is a btrfs with a writable subvolume to send from.
type disk struct {
	mount string
	top   *os.File
}

func newDisk(t testing.TB, size string, options ...string) *disk {
	t.Helper()
	mount := loopfs.New(t, size, options...)
	return &disk{mount, openDir(t, mount)}
}

// path is below the mount point.
func (d *disk) path(elements ...string) string {
	return filepath.Join(append([]string{d.mount}, elements...)...)
}

func (d *disk) subvolume(t testing.TB, name string) string {
	t.Helper()
	must(t, btrfs.CreateSubvolume(d.top, name))
	return d.path(name)
}

// snapshot makes a read-only snapshot of a subvolume beside it.
func (d *disk) snapshot(t testing.TB, of, name string) *os.File {
	t.Helper()
	must(t, btrfs.CreateSnapshot(d.top, name, openDir(t, d.path(of)), btrfs.SnapshotOptions{ReadOnly: true}))
	return openDir(t, d.path(name))
}

// target is a directory to receive into.
type target struct {
	dest, work *os.File
}

func newTarget(t testing.TB, size string, options ...string) *target {
	t.Helper()
	return targetOn(t, loopfs.New(t, size, options...))
}

func targetOn(t testing.TB, dir string) *target {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, "dest"), 0o755))
	must(t, os.Mkdir(filepath.Join(dir, "work"), 0o700))
	return &target{openDir(t, filepath.Join(dir, "dest")), openDir(t, filepath.Join(dir, "work"))}
}

func (g *target) path(elements ...string) string {
	return filepath.Join(append([]string{g.dest.Name()}, elements...)...)
}

func (g *target) receive(t testing.TB, stream []byte, name string) (*receive.Result, error) {
	t.Helper()
	return receive.Receive(t.Context(), bufio.NewReaderSize(bytes.NewReader(stream), receive.ReadAhead), receive.Options{Dest: g.dest, Work: g.work, Name: name})
}

func (g *target) mustReceive(t testing.TB, stream []byte, name string) *receive.Result {
	t.Helper()
	result, err := g.receive(t, stream, name)
	must(t, err)
	return result
}

// wantUntouched: nothing is in the directories but what is named.
func (g *target) wantUntouched(t testing.TB, names ...string) {
	t.Helper()
	for dir, want := range map[string][]string{g.dest.Name(): names, g.work.Name(): nil} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", dir, got, want)
		}
	}
}

func send(t testing.TB, subvol, parent *os.File, o btrfs.SendOptions) []byte {
	t.Helper()
	var stream bytes.Buffer
	must(t, btrfs.Send(t.Context(), subvol, parent, &stream, o))
	return stream.Bytes()
}

// progsReceive is what btrfs-progs makes of streams.
func progsReceive(t testing.TB, dir string, streams ...[]byte) {
	t.Helper()
	for _, s := range streams {
		cmd := exec.Command("btrfs", "receive", "-e", dir)
		cmd.Stdin = bytes.NewReader(s)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("btrfs receive: %v\n%s", err, out)
		}
	}
}

// look says how a tree is compared.
type look struct {
	noFlags bool // not the flags of chattr(1), which version 1 does not have, nor btrfs-progs
	noHoles bool
}

// stub is the inode number of what a snapshot has in the place of a nested subvolume. It is not sent.
const stub = 2

// tree describes everything below root, a line for each name.
func tree(t testing.TB, root string, how look) []string {
	t.Helper()
	var lines []string
	inodes := map[uint64]string{} // first name of each
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Ino == stub {
			return nil
		}
		first, seen := inodes[st.Ino]
		if !seen {
			inodes[st.Ino], first = name, ""
		}
		line, err := describe(path, e, how)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%q %s same=%q", name, line, first))
		return nil
	})
	must(t, err)
	return lines
}

func describe(path string, e fs.DirEntry, how look) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("mode=%o owner=%d:%d mtime=%d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR { // a stub of a nested subvolume is a file of its own everywhere
		line += fmt.Sprintf(" size=%d links=%d rdev=%#x", st.Size, st.Nlink, st.Rdev)
	}
	xattrs, err := xattrsOf(path)
	if err != nil {
		return "", err
	}
	line += xattrs
	switch e.Type() {
	case fs.ModeSymlink:
		to, err := os.Readlink(path)
		return line + fmt.Sprintf(" to=%q", to), err
	case 0, fs.ModeDir:
		more, err := content(path, e.IsDir(), how)
		return line + more, err
	}
	return line, nil
}

func content(path string, dir bool, how look) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line := ""
	if !how.noFlags {
		flags, err := btrfs.FileFlags(f)
		if err != nil {
			return "", err
		}
		line += fmt.Sprintf(" flags=%x", flags&^btrfs.FlagNoCompress) // the filesystem sets that one by itself
	}
	if dir {
		return line, nil
	}
	sum, err := sumOf(f)
	if err != nil {
		return "", err
	}
	line += " sha256=" + sum
	if !how.noHoles {
		line += " data=" + dataRanges(f)
	}
	return line, nil
}

// sumOf is that of every block that is not zeros, with its place: a hole and zeros are the same, and a terabyte of
// holes takes no time.
func sumOf(f *os.File) (string, error) {
	sum, buf := sha256.New(), make([]byte, 4096)
	for at := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
		}
		at = start &^ 4095
		n, err := f.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return "", err
		}
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			fmt.Fprintf(sum, "%d %d ", at, n)
			sum.Write(buf[:n])
		}
		at += 4096
	}
}

// dataRanges are those that are no holes.
func dataRanges(f *os.File) string {
	var b strings.Builder
	for at := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			return b.String()
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return b.String() + err.Error()
		}
		fmt.Fprintf(&b, "%d-%d,", start, end)
		at = end
	}
}

func xattrsOf(path string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		return "", err
	}
	names := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var line strings.Builder
	for _, name := range names {
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", err
		}
		line.WriteString(fmt.Sprintf(" %s=%x", name, sha256.Sum256(buf[:n])))
	}
	return line.String(), nil
}

func wantSameTree(t testing.TB, want, got string, how look) {
	t.Helper()
	if d := cmp.Diff(tree(t, want, how), tree(t, got, how)); d != "" {
		t.Errorf("%s and %s differ:\n%s", want, got, d)
	}
}
