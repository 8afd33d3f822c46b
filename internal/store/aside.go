// Moving aside what somebody else has put under one of our names. It is never written to and never deleted, and no run
// depends on it.

package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// moveAside renames name, in dir, to a free name.
func moveAside(dir *os.File, name string, now time.Time) error {
	fd := int(dir.Fd())
	for n := 0; ; n++ {
		aside := strings.TrimPrefix(name, at.TempPrefix) + asideInfix + candidateName(now, n+1)
		err := at.Retry(func() error { return unix.Renameat2(fd, name, fd, aside, unix.RENAME_NOREPLACE) })
		if !errors.Is(err, unix.EEXIST) {
			return at.Error("rename to "+aside, dir, name, err)
		}
	}
}

// clearLogDir moves entries of .log aside that are not what our entry of that name is, and says which. What it can
// neither examine nor move fails where it is used. The marker and the records are not among them: without them a run
// would know less than it must.
func (s *Store) clearLogDir() (moved []string) {
	for _, name := range []string{incomingName, workNoteName, workCatalogName, catalogName, holderName, HeldName, RsyncName, PrunedName, reserveName, LogFileName, LogFileName + ".1"} {
		want := uint32(unix.S_IFREG)
		if name == incomingName {
			want = unix.S_IFDIR
		}
		st, err := at.Stat(s.logDir, name)
		if err == nil && st.Mode&unix.S_IFMT != want && moveAside(s.logDir, name, time.Now()) == nil {
			moved = append(moved, fmt.Sprintf("moved %s/%s aside, which was a %s", LogDirName, name, at.KindOf(st.Mode)))
		}
	}
	return moved
}
