// Comparing two versions of one file.

package rsbtbackup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// pair compares two versions of a file and reports how they differ, if they do.
// With sameData its bytes are known to be the same.
func (d *differ) pair(kind DiffKind, a, b *diffLink, sameData bool) error {
	changed, err := d.changes(a, b, sameData)
	unread := err != nil
	if err = d.skip(err); err != nil {
		return err
	}
	if kind == DiffRenamed && a.path == b.path {
		kind = ""
	}
	switch {
	case kind == DiffRenamed:
	case slices.Contains(changed, ChangedContent), slices.Contains(changed, ChangedType):
		kind = DiffModified
	case unread:
		kind = DiffUnread
	case len(changed) == 0:
		return nil
	default:
		kind = DiffMetadata
	}
	d.report(kind, a, b, changed)
	return nil
}

// changes are those that are known; with an error there may be more.
func (d *differ) changes(a, b *diffLink, sameData bool) ([]DiffChange, error) {
	if a.st.format() != b.st.format() {
		return []DiffChange{ChangedType}, nil
	}
	// Nobody can set the ctime, and every change does. It is as coarse as the
	// timer, 4 ms: two backups are further apart.
	if d.related && a.st == b.st && a.st.id.known() {
		return nil, nil
	}
	var changed []DiffChange
	differs, err := d.contentDiffers(a, b, sameData)
	if differs {
		changed = append(changed, ChangedContent)
	}
	if a.st.mode != b.st.mode {
		changed = append(changed, ChangedMode)
	}
	if a.st.uid != b.st.uid || a.st.gid != b.st.gid {
		changed = append(changed, ChangedOwner)
	}
	if !a.st.isDir() && a.st.mtime != b.st.mtime {
		changed = append(changed, ChangedMtime)
	}
	xattrs, xattrErr := d.xattrsDiffer(a.path, b.path)
	if xattrs {
		changed = append(changed, ChangedXattrs)
	}
	return changed, errors.Join(err, xattrErr)
}

func (d *differ) contentDiffers(a, b *diffLink, sameData bool) (bool, error) {
	switch a.st.format() {
	case unix.S_IFREG:
		if sameData || a.st.size != b.st.size {
			return !sameData, nil
		}
		return d.bytesDiffer(a, b)
	case unix.S_IFLNK:
		return d.targetsDiffer(a.path, b.path)
	case unix.S_IFBLK, unix.S_IFCHR:
		return a.st.device != b.st.device, nil
	}
	return false, nil
}

// bytesDiffer reads files with several names once.
func (d *differ) bytesDiffer(a, b *diffLink) (bool, error) {
	key := [2]fileID{a.st.id, b.st.id}
	shared := a.st.links > 1 || b.st.links > 1
	if shared {
		d.mu.Lock()
		same, known := d.same[key]
		d.mu.Unlock()
		if known {
			return !same, nil
		}
	}
	differs, err := d.readBoth(a.path, b.path)
	if shared && err == nil {
		d.mu.Lock()
		d.same[key] = !differs
		d.mu.Unlock()
	}
	return differs, err
}

func (d *differ) readBoth(pathA, pathB string) (bool, error) {
	a, err := openPathInside(d.a.root, pathA, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := openPathInside(d.b.root, pathB, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer b.Close()
	if d.shareAll(a, b) {
		return false, nil
	}
	same, err := sameBytes(d.ctx, a, b)
	return err == nil && !same, err
}

// shareAll tells whether both files are known to have the same data without
// reading it, as after a touch: what is damaged need not be read then. The
// change stream goes by the same. Only root is told.
func (d *differ) shareAll(a, b *os.File) bool {
	if !d.a.readOnly || !d.b.readOnly {
		return false
	}
	for _, f := range []*os.File{a, b} {
		// A subvolume can be made read-only before what was written to it has its
		// place on the disk.
		if err := retry(func() error { return unix.Fdatasync(int(f.Fd())) }); err != nil {
			return false
		}
	}
	same, err := btrfs.SameExtents(a, b)
	return err == nil && same // otherwise to read them tells
}

// sameBytes reads both to the first difference.
func sameBytes(ctx context.Context, a, b io.Reader) (bool, error) {
	const step = 128 << 10
	bufA, bufB := make([]byte, step), make([]byte, step)
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		nA, errA := io.ReadFull(a, bufA)
		nB, errB := io.ReadFull(b, bufB)
		endA, endB := isEnd(errA), isEnd(errB)
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case !bytes.Equal(bufA[:nA], bufB[:nB]):
			return false, nil
		case endA || endB:
			return endA == endB, nil
		}
	}
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func (d *differ) targetsDiffer(pathA, pathB string) (bool, error) {
	a, err := readlinkInside(d.a.root, pathA)
	if err != nil {
		return false, err
	}
	b, err := readlinkInside(d.b.root, pathB)
	return err == nil && a != b, err
}

func readlinkInside(root *os.File, path string) (string, error) {
	f, err := openPathInside(root, path, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readlinkAt(f, "")
}

func (d *differ) xattrsDiffer(pathA, pathB string) (bool, error) {
	a, err := xattrsInside(d.a.root, pathA)
	if err != nil {
		return false, err
	}
	b, err := xattrsInside(d.b.root, pathB)
	return err == nil && a != b, err
}

// xattrsInside is all extended attributes the caller may see, as one string.
// An O_PATH descriptor serves for what may not or must not be opened, and the
// kernel takes one for these calls by way of /proc only (Linux 6.18).
func xattrsInside(root *os.File, path string) (string, error) {
	f, err := openPathInside(root, cmpOrDot(path), unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	proc := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	list := make([]byte, 64<<10)
	n, err := unix.Listxattr(proc, list)
	if errors.Is(err, unix.EOPNOTSUPP) || n == 0 && err == nil {
		return "", nil
	}
	if err != nil {
		return "", atError("listxattr", root, path, err)
	}
	names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var all strings.Builder
	value := make([]byte, xattrMax)
	for _, name := range names {
		n, err := unix.Getxattr(proc, name, value)
		if err != nil {
			return "", atError("getxattr "+name, root, path, err)
		}
		fmt.Fprintf(&all, "%q=%q\n", name, value[:n])
	}
	return all.String(), nil
}

func cmpOrDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}
