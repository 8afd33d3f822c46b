package receive

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/sendstream"
	"golang.org/x/sys/unix"
)

// orphans are directories that a stream has renamed to temporary names and then only emptied. The kernel does not
// remove such a directory if the sender had a subvolume in it (Linux 6.18): it treats the entry of the subvolume, which
// is not in the stream, as a file that is still to be removed.
type orphans map[string]bool

// orphanName is the kernel's name for an entry that it moves out of the way: inode, generation, number.
var orphanName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^o[0-9]+-[0-9]+-[0-9]+$`) })

// see notes the effect of a command on them. A user's directory with such a name is recognised because times are set on
// it.
func (o orphans) see(c sendstream.Command) {
	switch c := c.(type) {
	case sendstream.Rename:
		delete(o, c.Path)
		if orphanName().MatchString(c.To) && !orphanName().MatchString(c.Path) {
			o[c.To] = true
		}
	case sendstream.Rmdir:
		delete(o, c.Path)
	case sendstream.Utimes:
		delete(o, c.Path)
		if top, _, ok := strings.Cut(c.Path, "/"); ok {
			delete(o, top)
		}
	}
}

// removeOrphans removes only empty directories.
func (w *work) removeOrphans() error {
	for name := range w.orphans {
		err := w.rmdir(name)
		switch {
		case err == nil, errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrNotExist):
		default:
			return err
		}
	}
	return nil
}
