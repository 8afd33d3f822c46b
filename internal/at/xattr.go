package at

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// XattrMax is the largest value an attribute can have (XATTR_SIZE_MAX).
const XattrMax = 64 << 10

// CopyXattrs copies every attribute the caller may see; ACLs and capabilities
// are attributes too.
func CopyXattrs(dst, src *os.File) error {
	names, err := ListXattrs(src)
	if err != nil {
		return err
	}
	value := make([]byte, XattrMax)
	for _, name := range names {
		n, err := unix.Fgetxattr(int(src.Fd()), name, value)
		if err != nil {
			return &os.PathError{Op: "getxattr " + name, Path: src.Name(), Err: err}
		}
		if err := unix.Fsetxattr(int(dst.Fd()), name, value[:n], 0); err != nil {
			return &os.PathError{Op: "setxattr " + name, Path: dst.Name(), Err: err}
		}
	}
	return nil
}

func ListXattrs(f *os.File) ([]string, error) {
	size, err := unix.Flistxattr(int(f.Fd()), nil)
	if err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	if size == 0 {
		return nil, nil
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(int(f.Fd()), list); err != nil {
		return nil, &os.PathError{Op: "listxattr", Path: f.Name(), Err: err}
	}
	return strings.FieldsFunc(string(list[:size]), func(r rune) bool { return r == 0 }), nil
}
