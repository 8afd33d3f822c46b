// Surveying a local source before a transfer: how much it holds, and what
// --one-file-system leaves out.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// maxSkipped bounds how many left-out directories are named to the user.
const maxSkipped = 20

// sparseFrom is how much less than its size a file has on disk if its holes are worth keeping.
const sparseFrom = 128 << 10

// survey is what a walk of the source found. Rules that exclude are not
// applied, and what can not be read is left to rsync to complain of.
type survey struct {
	bytes  atomic.Uint64 // on disk
	sparse atomic.Bool   // some file has holes worth keeping

	mu sync.Mutex
	// What is on another filesystem, relative to SRC.
	mounts, subvolumes []string
}

// surveySource walks a local source, on one filesystem only if oneFS is set. It
// is a forecast: what can not be read does not count.
func surveySource(ctx context.Context, src *source, oneFS bool) (*survey, error) {
	root, err := os.OpenFile(src.spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	v := &survey{}
	w := walker{
		visit: func(dir *os.File, e os.DirEntry) error {
			if st, err := statAt(dir, e.Name()); err == nil {
				v.bytes.Add(uint64(st.Blocks) * 512)
				if e.Type().IsRegular() && st.Size-st.Blocks*512 >= sparseFrom {
					v.sparse.Store(true)
				}
			}
			return nil
		},
		enter: func(dir *os.File, name string) (*os.File, error) {
			sub, err := openDirAt(dir, name)
			if err != nil {
				return nil, nil
			}
			var st unix.Stat_t
			if unix.Fstat(int(sub.Fd()), &st) != nil {
				return nil, sub.Close()
			}
			if oneFS && uint64(st.Dev) != src.dev {
				v.skip(below(root, dir, name), isMountPoint(sub))
				return nil, sub.Close()
			}
			if inodeOf(&st) == src.dest { // left out by whatever path
				return nil, sub.Close()
			}
			return sub, nil
		},
		unreadable: func(*os.File, error) error { return nil },
	}
	return v, w.walk(ctx, root)
}

func (v *survey) skip(path string, mount bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if mount {
		v.mounts = append(v.mounts, path)
	} else {
		v.subvolumes = append(v.subvolumes, path)
	}
}

// isMountPoint tells a mount from a subvolume, which has a device number of its
// own too (Linux 5.8; before that it is not known).
func isMountPoint(dir *os.File) bool {
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// forecast is what is known of the space that a first backup takes, in bytes.
type forecast struct {
	need       uint64 // by all that is in SRC
	have       uint64 // of this, in what an interrupted run has copied
	free       uint64 // in DEST
	rules      bool   // some of it is left out
	compressed bool   // DEST stores it compressed
}

// text warns where it looks as if the backup will not fit, or is empty.
func (f forecast) text(src, dest string) string {
	need := f.need - min(f.have, f.need)
	if need <= f.free {
		return ""
	}
	verdict := "the backup will not fit unless part of SRC is excluded"
	switch {
	case f.rules && f.compressed:
		verdict = "the backup fits only if the rules leave out enough, or it can be compressed that far"
	case f.rules:
		verdict = "the backup fits only if the rules leave out enough"
	case f.compressed:
		verdict = "the backup fits only if it can be compressed that far"
	}
	what := "takes " + humanize.Bytes(f.need)
	if f.have > 0 {
		what += ", of which " + humanize.Bytes(f.have) + " are copied"
	}
	return fmt.Sprintf("%s %s, and %s has %s free: %s", src, what, dest, humanize.Bytes(f.free), verdict)
}

// compresses tells whether new files in DEST are stored compressed, by the
// mount or by an attribute of DEST. It is for a forecast: what is not known is no.
func (s *store) compresses() bool {
	const compressed = 0x4 // FS_COMPR_FL
	flags, err := unix.IoctlGetUint32(int(s.dir.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&compressed != 0 || readMount(s.dir).compressed
}

// quoteSome names paths, quoted where one could be taken for several, or for
// part of the sentence.
func quoteSome(paths []string) string {
	var names []string
	for _, path := range paths[:min(len(paths), maxSkipped)] {
		if path == "" || strings.ContainsFunc(path, func(r rune) bool { return strings.ContainsRune(` ,:;"'\`, r) || !strconv.IsPrint(r) }) || !utf8.ValidString(path) {
			path = strconv.Quote(path)
		}
		names = append(names, path)
	}
	text := strings.Join(names, ", ")
	if more := len(paths) - maxSkipped; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// removeSkipped removes what the base has under names that are devices in the
// source, which rsync leaves as it is.
func removeSkipped(ctx context.Context, pending *os.File, paths []string) error {
	for _, path := range paths {
		if err := emptySkipped(ctx, pending, path); err != nil {
			return err
		}
		err := unlinkBeneath(pending, path, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unlinkBeneath(pending, path, unix.AT_REMOVEDIR)
		}
		if err != nil && !isNoDir(err) {
			return err
		}
	}
	return nil
}

// emptySkipped removes what the base has below a directory that the transfer
// leaves out: rsync deletes nothing there.
func emptySkipped(ctx context.Context, pending *os.File, path string) error {
	dir, err := openBeneath(pending, path)
	if isNoDir(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(emptyDir(ctx, dir), dir.Close())
}
