// Ranges: known changes of a file, copied before rsync runs.

package pending

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Range is a part of a file, from Offset up to End.
type Range struct {
	Offset, End int64
	Hole        bool // there is nothing but zeros
}

// RangesCopied is what CopyRanges did.
type RangesCopied struct {
	Done          bool // otherwise rsync must compare the file
	Read, Written int64
}

// CopyRanges gives to, a file in pending, the size of from, whose stat is st, and its contents in some ranges;
// elsewhere they are known to be equal. From the first change on the file has a time that no source has, and at the end
// that of from, if from is still as in st. rsync then finds the file up to date, or compares it.
func CopyRanges(ctx context.Context, to, from *os.File, st *unix.Stat_t, ranges []Range, step Step) (done RangesCopied, err error) {
	if at.CheckTimes(int(from.Fd())) != nil {
		return done, nil
	}
	was, err := at.StatFile(to)
	if err != nil {
		return done, err
	}
	if err := setTimes(to, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, noTime()}); err != nil {
		return done, err
	}
	if was.Size != st.Size {
		if err := at.Retry(func() error { return unix.Ftruncate(int(to.Fd()), st.Size) }); err != nil {
			return done, &fs.PathError{Op: "truncate", Path: to.Name(), Err: err}
		}
	}
	c := &sparseCopier{step: step, from: make([]byte, sparseUnit), to: make([]byte, sparseUnit)}
	for _, r := range ranges {
		if r.Hole {
			if err := punchData(to, r.Offset, r.End); err != nil {
				return done, err
			}
			continue
		}
		written, err := c.update(ctx, to, from, r.Offset, r.End, was.Size)
		if done.Written += written; errors.Is(err, errUnread) {
			return done, nil
		} else if err != nil {
			return done, err
		}
		done.Read += r.End - r.Offset
	}
	now, err := at.StatFile(from)
	if err != nil || now.Size != st.Size || now.Mtim != st.Mtim || now.Ctim != st.Ctim {
		return done, nil // it changes
	}
	if err := setTimes(to, []unix.Timespec{st.Atim, st.Mtim}); err != nil {
		return done, err
	}
	done.Done = true
	return done, nil
}
