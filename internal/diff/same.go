// Comparing two versions of one file.

package diff

import (
	"cmp"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// pair compares two versions of a file and reports how they differ, if they do. With sameData their bytes are known to
// be equal.
func (d *differ) pair(kind facts.DiffKind, a, b *diffLink, sameData bool) error {
	changed, err := d.changes(a, b, sameData)
	unread := err != nil
	if err = d.skip(err); err != nil {
		return err
	}
	if kind == facts.DiffRenamed && a.path == b.path {
		kind = ""
	}
	switch {
	case kind == facts.DiffRenamed:
	case slices.Contains(changed, facts.ChangedContent), slices.Contains(changed, facts.ChangedType):
		kind = facts.DiffModified
	case unread:
		kind = facts.DiffUnread
	case len(changed) == 0:
		return nil
	default:
		kind = facts.DiffMetadata
	}
	d.report(kind, a, b, changed)
	return nil
}

// changes returns the known changes; with an error there may be more.
func (d *differ) changes(a, b *diffLink, sameData bool) ([]facts.DiffChange, error) {
	if a.st.Format() != b.st.Format() {
		return []facts.DiffChange{facts.ChangedType}, nil
	}
	// The ctime cannot be set by programs, and every change sets it. Its resolution is that of the timer, 4 ms: two
	// backups are further apart.
	if d.related && a.st == b.st && a.st.ID.Known() {
		return nil, nil
	}
	var changed []facts.DiffChange
	differs, err := d.contentDiffers(a, b, sameData)
	if differs {
		changed = append(changed, facts.ChangedContent)
	}
	if a.st.Mode != b.st.Mode {
		changed = append(changed, facts.ChangedMode)
	}
	if a.st.UID != b.st.UID || a.st.GID != b.st.GID {
		changed = append(changed, facts.ChangedOwner)
	}
	if !a.st.IsDir() && a.st.MTime != b.st.MTime {
		changed = append(changed, facts.ChangedMtime)
	}
	xattrs, xattrErr := d.xattrsDiffer(a.path, b.path)
	if xattrs {
		changed = append(changed, facts.ChangedXattrs)
	}
	return changed, errors.Join(err, xattrErr)
}

func (d *differ) contentDiffers(a, b *diffLink, sameData bool) (bool, error) {
	switch a.st.Format() {
	case unix.S_IFREG:
		if sameData || a.st.Size != b.st.Size {
			return !sameData, nil
		}
		return d.bytesDiffer(a, b)
	case unix.S_IFLNK:
		return d.targetsDiffer(a.path, b.path)
	case unix.S_IFBLK, unix.S_IFCHR:
		return a.st.Device != b.st.Device, nil
	}
	return false, nil
}

// bytesDiffer reads files with several names once.
func (d *differ) bytesDiffer(a, b *diffLink) (bool, error) {
	key := [2]at.FileID{a.st.ID, b.st.ID}
	shared := a.st.Links > 1 || b.st.Links > 1
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
	a, err := at.OpenPathInside(d.a.root, pathA, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := at.OpenPathInside(d.b.root, pathB, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false, err
	}
	defer b.Close()
	if d.shareAll(a, b) {
		return false, nil
	}
	same, err := at.SameBytes(d.ctx, a, b)
	return err == nil && !same, err
}

// shareAll reports whether both files are known to have the same extents, as after a touch, so that even damaged data
// need not be read. The change stream uses the same test. Only root may query this.
func (d *differ) shareAll(a, b *os.File) bool {
	if !d.a.readOnly || !d.b.readOnly {
		return false
	}
	for _, f := range []*os.File{a, b} {
		// A subvolume can be made read-only before the data written to it has been allocated on the disk.
		if err := at.Retry(func() error { return unix.Fdatasync(int(f.Fd())) }); err != nil {
			return false
		}
	}
	same, err := at.SameExtents(a, b)
	return err == nil && same // otherwise reading both decides
}

func (d *differ) targetsDiffer(pathA, pathB string) (bool, error) {
	a, err := at.ReadlinkInside(d.a.root, pathA)
	if err != nil {
		return false, err
	}
	b, err := at.ReadlinkInside(d.b.root, pathB)
	return err == nil && a != b, err
}

// xattrsDiffer reports known differences; with an error there may be more.
func (d *differ) xattrsDiffer(pathA, pathB string) (bool, error) {
	a, hiddenA, err := at.XattrsInside(d.a.root, pathA)
	if err != nil {
		return false, err
	}
	b, hiddenB, err := at.XattrsInside(d.b.root, pathB)
	if err != nil || a != b {
		return err == nil, err
	}
	return false, cmp.Or(hiddenA, hiddenB)
}
