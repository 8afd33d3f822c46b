package at

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// XattrMax is the largest value an attribute can have (XATTR_SIZE_MAX).
const XattrMax = 64 << 10

// Xattrs is a file by its descriptor, for calls on its extended attributes. The descriptor may have been opened with
// O_PATH, which the calls accept only through /proc (EBADF otherwise, Linux 6.18).
type Xattrs int

func (x Xattrs) proc() string { return ProcFD + strconv.Itoa(int(x)) }

// List returns the names; none where the filesystem has no attributes.
func (x Xattrs) List() ([]string, error) {
	size, err := x.list(nil)
	if errors.Is(err, unix.EOPNOTSUPP) || size == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]byte, size)
	if size, err = x.list(list); err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(list[:size]), func(r rune) bool { return r == 0 }), nil
}

func (x Xattrs) list(dest []byte) (int, error) {
	n, err := unix.Flistxattr(int(x), dest)
	if err == unix.EBADF {
		return unix.Listxattr(x.proc(), dest)
	}
	return n, err
}

func (x Xattrs) get(name string, dest []byte) (int, error) {
	n, err := unix.Fgetxattr(int(x), name, dest)
	if err == unix.EBADF {
		return unix.Getxattr(x.proc(), name, dest)
	}
	return n, err
}

func (x Xattrs) set(name string, value []byte) error {
	err := unix.Fsetxattr(int(x), name, value, 0)
	if err == unix.EBADF {
		return unix.Setxattr(x.proc(), name, value, 0)
	}
	return err
}

// CopyTo copies every attribute that the caller may read, and returns how many there are; ACLs and capabilities are
// attributes too.
func (x Xattrs) CopyTo(dst Xattrs) (int, error) {
	names, err := x.List()
	if err != nil {
		return 0, fmt.Errorf("listxattr: %w", err)
	}
	if len(names) == 0 {
		return 0, nil
	}
	value := make([]byte, XattrMax)
	for _, name := range names {
		n, err := x.get(name, value)
		if errors.Is(err, unix.ENODATA) { // of trusted.*, as an ordinary user
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("getxattr %s: %w", name, err)
		}
		if err := dst.set(name, value[:n]); err != nil {
			return 0, fmt.Errorf("setxattr %s: %w", name, err)
		}
	}
	return len(names), nil
}

// CopyXattrs is CopyTo for open files.
func CopyXattrs(dst, src *os.File) error {
	_, err := Xattrs(src.Fd()).CopyTo(Xattrs(dst.Fd()))
	return Error("copy attributes", dst, "", err)
}

// OfFilesystem reports whether an attribute belongs to one type of filesystem, such as btrfs.compression. Another
// filesystem, or a file that is stored in another way, may not be able to hold it, and loses nothing by that.
func OfFilesystem(name string) bool {
	namespace, _, _ := strings.Cut(name, ".")
	return !slices.Contains([]string{"user", "trusted", "security", "system"}, namespace)
}

// ListXattrs is List for an open file.
func ListXattrs(f *os.File) ([]string, error) {
	names, err := Xattrs(f.Fd()).List()
	return names, Error("listxattr", f, "", err)
}

// XattrsInside returns all extended attributes as one string. hidden names those whose value the caller may not read:
// btrfs lists trusted.* to everybody, but returns ENODATA for the value to an ordinary user (Linux 6.18).
func XattrsInside(root *os.File, path string) (all string, hidden, err error) {
	f, err := OpenPathInside(root, CmpOrDot(path), unix.O_PATH)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	return AllXattrs(f)
}

// AllXattrs is XattrsInside for an open file, which may be open as a place only (O_PATH).
func AllXattrs(f *os.File) (all string, hidden, err error) {
	x := Xattrs(f.Fd())
	names, err := x.List()
	if err != nil || len(names) == 0 {
		return "", nil, Error("listxattr", f, "", err)
	}
	slices.Sort(names)
	var text strings.Builder
	value := make([]byte, XattrMax)
	for _, name := range names {
		n, err := x.get(name, value)
		switch {
		case errors.Is(err, unix.ENODATA), errors.Is(err, fs.ErrPermission):
			hidden = cmp.Or(hidden, Error("getxattr "+name, f, "", unix.EPERM))
			fmt.Fprintf(&text, "%q\n", name)
		case err != nil:
			return "", nil, Error("getxattr "+name, f, "", err)
		default:
			fmt.Fprintf(&text, "%q=%q\n", name, value[:n])
		}
	}
	return text.String(), hidden, nil
}
