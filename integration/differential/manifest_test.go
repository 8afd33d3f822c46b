//go:build integration

package differential

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// A manifest is all that a backup has to keep of a tree: for each name, by its path below the root ("." is the root),
// one line of metadata and content hash.
type manifest struct {
	lines map[string]string
	sum   [sha256.Size]byte // over all lines in order
}

// readManifest examines every name below root. It ignores what no copy can keep: inode numbers, link counts and sizes
// of directories, access and change times, inode flags.
func readManifest(root string) (manifest, error) {
	r := reader{root: root, first: map[uint64]string{}, lines: map[string]string{}, buf: make([]byte, 128<<10)}
	if err := r.read("."); err != nil {
		return manifest{}, err
	}
	paths := make([]string, 0, len(r.lines))
	for path := range r.lines {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	hash := sha256.New()
	for _, path := range paths {
		fmt.Fprintf(hash, "%q %s\n", path, r.lines[path])
	}
	return manifest{lines: r.lines, sum: [sha256.Size]byte(hash.Sum(nil))}, nil
}

type reader struct {
	root  string
	first map[uint64]string // inode to the first path that has it, in order of reading
	lines map[string]string
	buf   []byte
}

func (r *reader) read(rel string) error {
	path := filepath.Join(r.root, rel)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	line, err := r.line(rel, path, &st)
	if err != nil {
		return err
	}
	r.lines[rel] = line
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	names, err := readNames(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.read(filepath.Join(rel, name)); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) line(rel, path string, st *unix.Stat_t) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "mode=%06o owner=%d:%d mtime=%d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		sum, err := r.hash(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " size=%d sha256=%x", st.Size, sum[:8])
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, " target=%q", target)
	case unix.S_IFCHR, unix.S_IFBLK:
		fmt.Fprintf(&b, " device=%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		if r.first[st.Ino] == "" {
			r.first[st.Ino] = rel
		}
		fmt.Fprintf(&b, " links=%d first=%q", st.Nlink, r.first[st.Ino])
	}
	attrs, err := readXattrs(path)
	if err != nil {
		return "", err
	}
	for _, a := range attrs {
		fmt.Fprintf(&b, " %s=%x", a.name, a.value)
	}
	return b.String(), nil
}

func (r *reader) hash(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	hash := sha256.New()
	for {
		n, err := f.Read(r.buf)
		hash.Write(r.buf[:n])
		if n == 0 {
			if err != nil && err.Error() != "EOF" {
				return sum, err
			}
			return [sha256.Size]byte(hash.Sum(nil)), nil
		}
	}
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

type xattr struct {
	name  string
	value []byte
}

// readXattrs returns all attributes, ACLs and capabilities among them, by name.
func readXattrs(path string) ([]xattr, error) {
	var buf [1 << 10]byte
	list := buf[:]
	n, err := unix.Llistxattr(path, list)
	if err == unix.ERANGE {
		list = make([]byte, 64<<10)
		n, err = unix.Llistxattr(path, list)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	if n == 0 {
		return nil, nil
	}
	var attrs []xattr
	value := make([]byte, 64<<10)
	for name := range bytes.FieldsFuncSeq(list[:n], func(r rune) bool { return r == 0 }) {
		n, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + string(name), Path: path, Err: err}
		}
		attrs = append(attrs, xattr{string(name), slices.Clone(value[:n])})
	}
	slices.SortFunc(attrs, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return attrs, nil
}

// diff says in which names got differs from want, at most limit of them.
func (want manifest) diff(got manifest, limit int) (wrong []string, text string) {
	return want.diffSince(manifest{}, got, limit)
}

// diffSince also says what was there before.
func (want manifest) diffSince(before, got manifest, limit int) (wrong []string, text string) {
	for path, line := range want.lines {
		if got.lines[path] != line {
			wrong = append(wrong, path)
		}
	}
	for path := range got.lines {
		if _, ok := want.lines[path]; !ok {
			wrong = append(wrong, path)
		}
	}
	sort.Strings(wrong)
	var b strings.Builder
	for i, path := range wrong {
		if i == limit {
			fmt.Fprintf(&b, "  and %d more\n", len(wrong)-limit)
			break
		}
		fmt.Fprintf(&b, "  %q\n    want %s\n    got  %s\n", path, orAbsent(want.lines[path]), orAbsent(got.lines[path]))
		if before.lines != nil {
			fmt.Fprintf(&b, "    was  %s\n", orAbsent(before.lines[path]))
		}
	}
	return wrong, b.String()
}

func orAbsent(line string) string {
	if line == "" {
		return "(nothing)"
	}
	return line
}

// wrongBytes counts the bytes in which regular files of the two trees differ, for the given paths. A name that is a
// file in one tree only counts with its whole size.
func wrongBytes(wantRoot, gotRoot string, paths []string) int64 {
	var wrong int64
	for _, path := range paths {
		want, got := readRegular(filepath.Join(wantRoot, path)), readRegular(filepath.Join(gotRoot, path))
		for i := range min(len(want), len(got)) {
			if want[i] != got[i] {
				wrong++
			}
		}
		wrong += int64(max(len(want), len(got)) - min(len(want), len(got)))
	}
	return wrong
}

// readRegular returns nothing for what is not a regular file.
func readRegular(path string) []byte {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return data
}
