// Times: whether a target stores the times of files with less precision than the backup.

package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// sampledTimes is how many files are looked at: one whose time was truncated is enough to warn about all.
const sampledTimes = 20_000

// noticeTimes warns if the filesystem of a local target truncates times. rsync does not, and later considers each such
// file changed.
func (x cleared) noticeTimes(ctx context.Context) error {
	if x.target.remote != nil || x.o.DryRun || x.leftAlone() {
		return nil
	}
	roots := x.open
	if len(roots) == 0 {
		roots = []string{"."}
	}
	s := &timeSample{backup: x.view.Root, target: x.target.dir, left: sampledTimes}
	for _, path := range roots {
		if err := s.look(ctx, path); err != nil && !errors.Is(err, errSampled) {
			return err
		}
		if s.found != "" {
			x.tell.Notice(fmt.Sprintf("%s %s: --overwrite=if-changed will treat each such file as changed", x.target.shown, s.found))
			return nil
		}
	}
	return nil
}

var errSampled = errors.New("enough files were examined")

type timeSample struct {
	backup, target *os.File

	mu    sync.Mutex
	left  int
	found string
}

func (s *timeSample) look(ctx context.Context, path string) error {
	dir, err := at.OpenBeneath(s.backup, filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	st, err := at.Stat(dir, filepath.Base(path))
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return s.compare(path, st)
	}
	top, err := at.OpenDir(dir, filepath.Base(path))
	if err != nil {
		return nil // the restore has already reported it
	}
	defer top.Close()
	w := walk.Walker{
		Visit: func(dir *os.File, e os.DirEntry) error {
			if !e.Type().IsRegular() {
				return nil
			}
			st, err := at.Stat(dir, e.Name())
			if err != nil {
				return nil // as above
			}
			return s.compare(walk.Below(s.backup, dir, e.Name()), st)
		},
		Enter: func(dir *os.File, name string) (*os.File, error) {
			sub, err := at.OpenDir(dir, name)
			if err != nil {
				return nil, nil // as above
			}
			return sub, nil
		},
		Unreadable: func(*os.File, error) error { return nil },
	}
	return w.Walk(ctx, top)
}

// compare ends the walk when it has found a truncated time, or has looked at enough files.
func (s *timeSample) compare(path string, want unix.Stat_t) error {
	dir, err := at.OpenBeneath(s.target, filepath.Dir(path))
	if err != nil {
		return nil // it was not restored
	}
	defer dir.Close()
	got, err := at.Stat(dir, filepath.Base(path))
	if err != nil || got.Mode&unix.S_IFMT != want.Mode&unix.S_IFMT || got.Size != want.Size {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found = lostOfTime(time.Unix(want.Mtim.Unix()), time.Unix(got.Mtim.Unix())); s.found != "" {
		return errSampled
	}
	if s.left--; s.left <= 0 {
		return errSampled
	}
	return nil
}

// timeUnits are the resolutions of file times: NTFS, UDF, exFAT, ext3, FAT.
var timeUnits = []time.Duration{100 * time.Nanosecond, time.Microsecond, time.Millisecond, 10 * time.Millisecond, time.Second, 2 * time.Second}

// lostOfTime says how a filesystem has truncated want to got; it is empty if they are equal, or differ for another
// reason.
func lostOfTime(want, got time.Time) string {
	first, last := time.Unix(-1<<31, 0), time.Unix(1<<31, 0)
	fits := func(t time.Time) bool { return !t.Before(first) && t.Before(last) }
	switch {
	case got.Equal(want), got.After(want) && fits(want): // truncated is earlier
		return ""
	case !fits(want) && fits(got):
		return fmt.Sprintf("keeps no times before 1901 or after 2038 (%s became %s)", want.UTC().Format(time.RFC3339), got.UTC().Format(time.RFC3339))
	}
	away := got.Sub(want).Abs()
	for _, unit := range timeUnits {
		if away < unit && got.Nanosecond()%int(min(unit, time.Second)) == 0 && (unit <= time.Second || got.Unix()%2 == 0) {
			return fmt.Sprintf("keeps times to %s only", unitName(unit))
		}
	}
	return ""
}

func unitName(unit time.Duration) string {
	switch {
	case unit >= time.Second:
		return fmt.Sprintf("%d s", unit/time.Second)
	case unit >= time.Millisecond:
		return fmt.Sprintf("%d ms", unit/time.Millisecond)
	}
	return fmt.Sprintf("%d ns", unit.Nanoseconds())
}
