package testdest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Digest is a checksum of everything below dir that a backup keeps: names, contents, types, modes, owners, times,
// attributes, devices, and which names are of one file. It is good for this process only.
func Digest(t testing.TB, dir string) string {
	t.Helper()
	sum, err := digest(dir)
	if err != nil {
		t.Fatalf("digest: %v", err)
	}
	return sum
}

// Same reports whether two trees are equal to the last attribute that a backup keeps. That they are not is no fault
// yet: an attribute may be one of the file system alone, or a file have a name outside.
func Same(a, b string) bool {
	first, err := digest(a)
	if err != nil {
		return false
	}
	second, err := digest(b)
	return err == nil && first == second
}

var seed = maphash.MakeSeed()

// digester hashes a tree. It neither starts a process nor reads a directory twice, as most of the tests end in it.
type digester struct {
	hash  maphash.Hash
	links map[inode]string // the first name of each file that has several
	buf   []byte
}

type inode struct{ dev, ino uint64 }

func digest(dir string) (string, error) {
	d := digester{links: map[inode]string{}, buf: make([]byte, 64<<10)}
	d.hash.SetSeed(seed)
	// With the slash, dir may be a symlink to the tree.
	if err := d.entry(dir+"/", "."); err != nil {
		return "", err
	}
	return string(binary.BigEndian.AppendUint64(nil, d.hash.Sum64())), nil
}

// entry hashes path, which is rel below the tree.
func (d *digester) entry(path, rel string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	d.text(rel)
	d.numbers(uint64(st.Mode), uint64(st.Uid), uint64(st.Gid), uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec))
	if err := d.attributes(path); err != nil {
		return err
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		return d.directory(path, rel)
	}
	d.numbers(uint64(st.Rdev), uint64(st.Nlink))
	if st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		if first, known := d.links[id]; known {
			d.text(first)
			return nil
		}
		d.links[id] = rel
		d.text(rel)
	}
	switch kind {
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		d.text(target)
		return err
	case unix.S_IFREG:
		return d.content(path)
	}
	return nil
}

func (d *digester) directory(path, rel string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	slices.Sort(names)
	d.numbers(uint64(len(names)))
	for _, name := range names {
		if err := d.entry(filepath.Join(path, name), filepath.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *digester) content(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	read := uint64(0)
	for {
		n, err := f.Read(d.buf)
		d.hash.Write(d.buf[:n])
		read += uint64(n)
		if err == io.EOF {
			d.numbers(read)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *digester) attributes(path string) error {
	list, err := whole(func(buf []byte) (int, error) { return unix.Llistxattr(path, buf) })
	if errors.Is(err, syscall.ENOTSUP) {
		list, err = nil, nil
	}
	if err != nil {
		return &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	names := bytes.Split(list, []byte{0})
	slices.SortFunc(names, bytes.Compare)
	d.numbers(uint64(len(names)))
	for _, name := range names {
		if len(name) == 0 {
			continue // after the last one
		}
		value, err := whole(func(buf []byte) (int, error) { return unix.Lgetxattr(path, string(name), buf) })
		if err != nil {
			return &fs.PathError{Op: "lgetxattr " + string(name), Path: path, Err: err}
		}
		d.text(string(name))
		d.text(string(value))
	}
	return nil
}

// whole asks for a text with room enough.
func whole(ask func(buf []byte) (int, error)) ([]byte, error) {
	const most = 64 << 10 // XATTR_SIZE_MAX and XATTR_LIST_MAX
	for size := 256; ; size = most {
		buf := make([]byte, size)
		n, err := ask(buf)
		if err == nil {
			return buf[:n], nil
		}
		if err != syscall.ERANGE || size == most {
			return nil, err
		}
	}
}

func (d *digester) text(s string) {
	d.numbers(uint64(len(s)))
	d.hash.WriteString(s)
}

func (d *digester) numbers(list ...uint64) {
	for _, n := range list {
		d.hash.Write(binary.BigEndian.AppendUint64(d.buf[:0], n))
	}
}
