package scan

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"golang.org/x/sys/unix"
)

// readNames stores the names of a directory in r.names, sorted.
func (r *reader) readNames(fd int) error {
	r.text, r.names = r.text[:0], r.names[:0]
	for {
		var n int
		err := at.Retry(func() (err error) { n, err = unix.Getdents(fd, r.buf); return err })
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		r.addNames(r.buf[:n])
	}
	text, from := string(r.text), 0
	for i := range r.names {
		n := &r.names[i]
		n.name, from = text[from:n.end], n.end
	}
	slices.SortFunc(r.names, func(a, b nameAt) int { return strings.Compare(a.name, b.name) })
	// While a directory is changed, it may return a name twice.
	r.names = slices.CompactFunc(r.names, func(a, b nameAt) bool { return a.name == b.name })
	return nil
}

// addNames takes the names from an array of struct linux_dirent64.
func (r *reader) addNames(buf []byte) {
	const lengthAt, nameFrom = 16, 19
	for len(buf) > nameFrom {
		length := int(binary.NativeEndian.Uint16(buf[lengthAt:]))
		if length <= nameFrom || length > len(buf) {
			break
		}
		name := buf[nameFrom:length]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if string(name) != "." && string(name) != ".." {
			r.text = append(r.text, name...)
			r.names = append(r.names, nameAt{inode: binary.NativeEndian.Uint64(buf), end: len(r.text)})
		}
		buf = buf[length:]
	}
}
