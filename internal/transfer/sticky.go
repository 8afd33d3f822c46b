// Sticky directories: a bug of rsync's --acls.
//
// When a directory gets the sticky bit and an ACL in one run, rsync (3.5.0, and every version since 3.0) first sets the
// ACL without any rights for group and others, so that nobody deletes files in it meanwhile, and then the mode. If the
// ACL has a mask, the mode sets the mask and not the entry of the owning group, which stays empty. For a directory that
// is already sticky rsync sets the whole ACL, so a second run corrects it.

package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

const aclAccess = "system.posix_acl_access"

// GroupsLost reports whether pending has a sticky directory whose group has no rights, but has them in base: rsync's
// bug may be the cause. base is nil for a first backup.
func GroupsLost(ctx context.Context, pending, base *os.File) (bool, error) {
	return anySticky(ctx, pending, nil, func(path string, acl []byte) bool {
		return groupEntry(acl) == 0 && !bytes.Equal(acl, aclBeneath(base, path))
	})
}

// GroupsLostIn is GroupsLost for some directories, with paths relative to pending. A missing directory does not count.
func GroupsLostIn(pending, base *os.File, dirs []string) (bool, error) {
	for _, path := range dirs {
		dir, err := at.OpenBeneath(pending, path)
		if err != nil {
			continue // it is missing, or rsync has complained about it
		}
		lost, err := hasLostGroup(dir, base, path)
		if err := errors.Join(err, dir.Close()); err != nil || lost {
			return lost, err
		}
	}
	return false, nil
}

func hasLostGroup(dir, base *os.File, path string) (bool, error) {
	st, err := at.StatFile(dir)
	if err != nil || st.Mode&unix.S_ISVTX == 0 {
		return false, err
	}
	acl, err := accessACL(dir)
	return err == nil && acl != nil && groupEntry(acl) == 0 && !bytes.Equal(acl, aclBeneath(base, path)), err
}

// GroupsAtRisk reports whether a sticky directory of a backup, above or below paths, has an ACL that the bug may damage
// in a restore.
func GroupsAtRisk(ctx context.Context, backup *os.File, paths []string) (bool, error) {
	return anySticky(ctx, backup, paths, func(_ string, acl []byte) bool { return groupEntry(acl) > 0 })
}

// aclBeneath returns the ACL of the directory at path below dir, or nil.
func aclBeneath(dir *os.File, path string) []byte {
	if dir == nil {
		return nil
	}
	d, err := at.OpenBeneath(dir, path)
	if err != nil {
		return nil // so it is new
	}
	defer d.Close()
	acl, err := accessACL(d)
	if err != nil {
		return nil
	}
	return acl
}

// anySticky reports whether pick is true for the access ACL of any sticky directory: root, directories above and below
// paths, or all if there are no paths. Directories that cannot be read do not count.
func anySticky(ctx context.Context, root *os.File, paths []string, pick func(path string, acl []byte) bool) (bool, error) {
	var found atomic.Bool
	look := func(dir *os.File, path string) error {
		st, err := at.StatFile(dir)
		if err != nil || st.Mode&unix.S_ISVTX == 0 {
			return err
		}
		acl, err := accessACL(dir)
		if err == nil && acl != nil && pick(path, acl) {
			found.Store(true)
		}
		return err
	}
	if err := look(root, "."); err != nil {
		return false, err
	}
	w := walk.Walker{
		Visit: func(*os.File, os.DirEntry) error { return nil },
		Enter: func(up *os.File, name string) (*os.File, error) {
			path := walk.Below(root, up, name)
			if found.Load() || !OnTheWay(path, paths) {
				return nil, nil
			}
			dir, err := at.OpenDir(up, name)
			if err != nil {
				return nil, nil
			}
			if err := look(dir, path); err != nil {
				return nil, errors.Join(err, dir.Close())
			}
			return dir, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	err := w.Walk(ctx, root)
	return found.Load(), err
}

// OnTheWay reports whether dir is above, at or below one of paths, which are sorted; no paths mean everything.
func OnTheWay(dir string, paths []string) bool {
	return len(paths) == 0 || at.LeadsTo(dir, paths) || at.Covered(dir, paths)
}

// accessACL returns nil if there is none.
func accessACL(dir *os.File) ([]byte, error) {
	buf := make([]byte, 4+8*64)
	for {
		n, err := unix.Fgetxattr(int(dir.Fd()), aclAccess, buf)
		switch {
		case err == nil:
			return buf[:n], nil
		case err == unix.ENODATA, err == unix.EOPNOTSUPP:
			return nil, nil
		case err == unix.EINTR:
		case err == unix.ERANGE && len(buf) < at.XattrMax:
			buf = make([]byte, at.XattrMax)
		default:
			return nil, at.Error("getxattr", dir, "", err)
		}
	}
}

// groupEntry returns the rights of the owning group in an ACL (linux/posix_acl_xattr.h: a version, then tag, rights and
// id of each entry). It is -1 for an ACL without a mask, in which they equal the mode.
func groupEntry(acl []byte) int {
	const groupObj, mask = 0x04, 0x10
	rights, masked := -1, false
	for entry := 4; entry+8 <= len(acl); entry += 8 {
		switch binary.LittleEndian.Uint16(acl[entry:]) {
		case groupObj:
			rights = int(binary.LittleEndian.Uint16(acl[entry+2:]))
		case mask:
			masked = true
		}
	}
	if !masked {
		return -1
	}
	return rights
}
