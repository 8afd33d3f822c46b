// Surveying a local source before a transfer: how much it holds, and what
// --one-file-system leaves out.

package rsbtbackup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxSkipped bounds how many left-out directories are named.
const maxSkipped = 20

// survey is what a walk of the source found. Rules that exclude are not
// applied, and what can not be read is left to rsync to complain of.
type survey struct {
	bytes atomic.Uint64 // on disk

	mu      sync.Mutex
	skipped []string // mount points and nested subvolumes, relative to SRC
	more    int      // skipped beyond maxSkipped
}

// surveySource walks a local source, on one filesystem only if oneFS is set.
func surveySource(ctx context.Context, src *source, oneFS bool) (*survey, error) {
	root, err := os.OpenFile(src.spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	v := &survey{}
	w := walker{
		visit: func(dir *os.File, e os.DirEntry) error {
			st, err := statAt(dir, e.Name())
			if err == nil {
				v.bytes.Add(uint64(st.Blocks) * 512)
			}
			return ignoreUnreadable(err)
		},
		enter: func(dir *os.File, name string) (*os.File, error) {
			sub, err := openDirAt(dir, name)
			if err != nil {
				return nil, ignoreUnreadable(err)
			}
			var st unix.Stat_t
			if err := unix.Fstat(int(sub.Fd()), &st); err != nil {
				return nil, errors.Join(err, sub.Close())
			}
			if oneFS && uint64(st.Dev) != src.dev {
				v.skip(strings.TrimPrefix(filepath.Join(dir.Name(), name), root.Name()+"/"))
				return nil, sub.Close()
			}
			return sub, nil
		},
	}
	return v, w.walk(ctx, root)
}

func (v *survey) skip(path string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.skipped) == maxSkipped {
		v.more++
		return
	}
	v.skipped = append(v.skipped, path)
}

// ignoreUnreadable is for what vanishes, or is not for us, while the source
// is surveyed.
func ignoreUnreadable(err error) error {
	for _, expected := range []error{fs.ErrNotExist, fs.ErrPermission, unix.ENOTDIR, unix.ELOOP, unix.EIO} {
		if errors.Is(err, expected) {
			return nil
		}
	}
	return err
}
