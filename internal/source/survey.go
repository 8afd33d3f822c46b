// Surveying a local source before a transfer: its size, and what --one-file-system leaves out.

package source

import (
	"context"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// sparseFrom is how much smaller on disk than its size a file must be for its holes to be worth keeping.
const sparseFrom = 128 << 10

// Survey is what a walk of the source found; several goroutines fill it. Exclude rules are not applied, and unreadable
// files are left to rsync to report.
type Survey struct {
	Bytes   atomic.Uint64 // on disk
	Entries atomic.Int64  // all kinds of files, the root too
	Sparse  atomic.Bool   // some file has holes worth keeping

	// found, if set, is called with each file in the open directory dir.
	found func(dir int, path string, st *unix.Stat_t)

	mu sync.Mutex
	// Mounts and nested subvolumes, relative to SRC.
	Mounts, Subvolumes []string
}

// NewSurvey returns an empty survey.
func NewSurvey(found func(dir int, path string, st *unix.Stat_t)) *Survey {
	return &Survey{found: found}
}

// See adds an entry that is not a directory, or a directory that is not entered.
func (v *Survey) See(dir int, path string, stx *unix.Statx_t) {
	v.Entries.Add(1)
	if stx.Mode&unix.S_IFMT == unix.S_IFDIR {
		v.skip(path, stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0)
		return
	}
	st := at.StatOf(stx)
	v.see(dir, path, &st)
}

// SeeDir adds a directory.
func (v *Survey) SeeDir(string) { v.Entries.Add(1) }

func (v *Survey) see(dir int, path string, st *unix.Stat_t) {
	v.Bytes.Add(uint64(st.Blocks) * 512)
	if st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size-st.Blocks*512 >= sparseFrom {
		v.Sparse.Store(true)
	}
	v.found(dir, path, st)
}

// Look walks a local source, on one filesystem only if oneFS is set. The result is a forecast: unreadable files do not
// count.
func (v *Survey) Look(ctx context.Context, src *Source, oneFS bool) error {
	root, err := os.OpenFile(src.Spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	v.Entries.Add(1)
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			v.Entries.Add(1)
			if st, err := at.Stat(dir, e.Name()); err == nil {
				v.see(int(dir.Fd()), walk.Below(root, dir, e.Name()), &st)
			}
			return nil
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			v.Entries.Add(1)
			// Opening a directory triggers an automount; stat does not (since Linux 4.14).
			st, err := at.Stat(dir, name)
			if err != nil {
				return nil, nil
			}
			if oneFS && uint64(st.Dev) != src.dev {
				v.skip(walk.Below(root, dir, name), isMountPoint(dir, name))
				return nil, nil
			}
			sub, err := at.OpenDir(dir, name)
			if err != nil {
				return nil, nil
			}
			if unix.Fstat(int(sub.Fd()), &st) != nil || oneFS && uint64(st.Dev) != src.dev {
				return nil, sub.Close() // something was mounted here meanwhile
			}
			if mounts.InodeOf(&st) == src.dest { // left out at any path
				return nil, sub.Close()
			}
			return sub, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	return w.Walk(ctx, root)
}

func (v *Survey) skip(path string, mount bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if mount {
		v.Mounts = append(v.Mounts, path)
	} else {
		v.Subvolumes = append(v.Subvolumes, path)
	}
}

// isMountPoint distinguishes a mount from a subvolume, which has its own device number too (Linux 5.8; unknown before).
func isMountPoint(dir *os.File, name string) bool {
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), name, unix.AT_NO_AUTOMOUNT|unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
