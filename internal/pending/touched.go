package pending

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Touched are files that pending has with their size and time, although they changed after pending was begun, or after
// the backup that it is a snapshot of: perhaps after they were copied. Several goroutines fill it.
type Touched struct {
	since int64 // in nanoseconds
	below bool  // so are the files below a directory that changed: it may have been elsewhere, and its files have an old ctime

	mu    sync.Mutex
	paths []string
	dirs  map[string]bool // whether a directory, or one above it, changed
}

const (
	// coarse is how much earlier than it happened a change may seem to have been: some filesystems have whole seconds.
	coarse = 2 * time.Second
	// mostTouched limits how many are kept.
	mostTouched = 20_000
)

// NewTouched compares ctimes, for a resumed run, with the time of the subvolume pending, which the kernel took from the
// same clock; otherwise with the begin of base, the last backup. It is nil if that is unknown. With below, nothing else
// tells which directories moved.
func NewTouched(pending *os.File, resumed bool, base *facts.Snapshot, below bool) (*Touched, error) {
	var last time.Time
	if base != nil && base.Record != nil {
		last = base.Record.Started
	}
	if resumed {
		info, err := btrfs.SubvolumeAround(pending)
		if err != nil {
			return nil, err
		}
		last = info.OTime
	}
	if last.IsZero() {
		return nil, nil
	}
	return &Touched{since: last.Add(-coarse).UnixNano(), below: below, dirs: map[string]bool{}}, nil
}

// See adds a file of the source, in the open directory dir. A nil Touched ignores it.
func (t *Touched) See(pending *os.File, dir int, rel string, st *unix.Stat_t) {
	if t == nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Ctim.Nano() < t.since && !t.mayHaveMoved(dir, filepath.Dir(rel)) || lacks(pending, rel, st) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.paths) <= mostTouched {
		t.paths = append(t.paths, rel)
	}
}

// mayHaveMoved asks for the ctimes of the open directory dir, at rel, and of those above it. The top is the same one.
func (t *Touched) mayHaveMoved(dir int, rel string) (moved bool) {
	if !t.below {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var asked []string
	for up := "."; rel != "." && !moved; rel, up = filepath.Dir(rel), up+"/.." {
		known, ok := t.dirs[rel]
		if ok {
			moved = known
			break
		}
		asked = append(asked, rel)
		var st unix.Stat_t
		err := at.Retry(func() error { return unix.Fstatat(dir, up, &st, 0) })
		moved = err != nil || st.Ctim.Nano() >= t.since
	}
	for _, rel := range asked {
		t.dirs[rel] = moved
	}
	return moved
}

// Paths are in order; there are none if too many were found.
func (t *Touched) Paths() (paths []string, tooMany bool) {
	if t == nil {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.paths) > mostTouched {
		return nil, true
	}
	return slices.Sorted(slices.Values(t.paths)), false
}
