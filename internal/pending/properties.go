package pending

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Properties are the btrfs properties of a file or directory, such as btrfs.compression. New entries inherit them from
// their directory.
type Properties map[string]string

// PropertiesOf reads those of DEST, which say how its owner wants data to be stored.
func PropertiesOf(dir *os.File) (Properties, error) {
	names, err := at.ListXattrs(dir)
	if err != nil {
		return nil, err
	}
	var found Properties
	for _, name := range names {
		if !strings.HasPrefix(name, "btrfs.") {
			continue
		}
		value := make([]byte, at.XattrMax)
		n, err := unix.Fgetxattr(int(dir.Fd()), name, value)
		if err != nil {
			return nil, at.Error("getxattr "+name, dir, "", err)
		}
		if found == nil {
			found = Properties{}
		}
		found[name] = string(value[:n])
	}
	return found, nil
}

// HandDown sets those properties that the root of pending lacks in all its directories: a base made before DEST had the
// properties lacks them too. It returns how many directories it changed.
func (p Properties) HandDown(ctx context.Context, root *os.File) (changed int64, err error) {
	missing := Properties{}
	for name, value := range p {
		buf := make([]byte, at.XattrMax)
		n, err := unix.Fgetxattr(int(root.Fd()), name, buf)
		if err != nil && !errors.Is(err, unix.ENODATA) {
			return 0, at.Error("getxattr "+name, root, "", err)
		}
		if err != nil || string(buf[:n]) != value {
			missing[name] = value
		}
	}
	if len(missing) == 0 {
		return 0, nil
	}
	var count atomic.Int64
	if held, err := missing.set(root); !held || err != nil {
		return 0, err
	}
	w := walk.Walker{
		Visit: func(*os.File, os.DirEntry) error { return nil },
		Enter: func(dir *os.File, name string) (*os.File, error) {
			sub, err := at.OpenOwn(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
			if err != nil {
				return nil, err
			}
			if _, err := missing.set(sub); err != nil {
				return nil, errors.Join(err, sub.Close())
			}
			count.Add(1)
			return sub, nil
		},
	}
	err = w.Walk(ctx, root)
	return count.Load() + 1, err
}

// set is false if dir cannot have them: btrfs does not compress files without checksums (EINVAL).
func (p Properties) set(dir *os.File) (held bool, err error) {
	for name, value := range p {
		err := unix.Fsetxattr(int(dir.Fd()), name, []byte(value), 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
			return false, nil
		}
		if err != nil {
			return false, at.Error("setxattr "+name, dir, "", err)
		}
	}
	return true, nil
}
