package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
)

// ErrUnfit is matched by errors of Walk that the source causes: its changes cannot be found.
var ErrUnfit = errors.New("the source cannot be scanned")

// Result is what a walk found, and the catalog it has written so far.
type Result struct {
	List List
	// TooLong says why List is empty although there are changes: it would be too long.
	TooLong string
	Took    time.Duration
	// Moves are valid also without a list. They can be repeated in the tree that rsync compares with, before it runs.
	Moves []Move
	// Unread says that something may not be read: what changed there is unknown, and the catalog does not have it.
	Unread string
	// ByGeneration: unchanged directories were not read.
	ByGeneration bool
	// Generations are for the record.
	Generations *facts.Generations
	// Missed are directories with a change that the generations, which were not trusted, did not report.
	Missed []string

	to       *catalog.Writer
	file     *os.File
	finished bool // file has an end
	top      catalog.Header
}

// Walk walks the directory root, whose path in h is h.Source, and compares it with known, the catalog of the last
// backup made from it, or nil. The new catalog is written to file, which must be open for reading and writing; the
// caller makes it durable. The order is Walk, the transfer, Settle, Finish. The file that known reads must stay open
// until then: the new catalog is written as late as possible, and not at all if nothing has changed.
//
// known must be of the same source; see catalog.Header.Fits. If it has other rules, only the doubtful files of the
// result are valid, and o.Generations must not be trusted. An error matches ErrUnfit or catalog.ErrUnusable, or is a
// system error.
func Walk(ctx context.Context, root, file *os.File, source string, rules []string, o Options, known *catalog.Reader) (*Result, error) {
	return walk(ctx, root, file, source, rules, o, known, racy)
}

func walk(ctx context.Context, root, file *os.File, source string, rules []string, o Options, known *catalog.Reader, racy int64) (*Result, error) {
	began := time.Now()
	o.denied = new(atomic.Bool)
	if o.Generations == nil {
		o.nested = &nested{paths: map[string]string{}}
	}
	h, device, err := describe(root, source, rules, o)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if err := file.Truncate(0); err != nil { // an earlier walk may have written something
		return nil, err
	}
	res := &Result{file: file, top: h, to: catalog.NewWriter(file, h, known)}
	c, err := newComparer(known, res.to)
	if err != nil {
		return nil, err
	}
	c.racy, c.now, c.gens, c.trust, c.told, c.suspect, c.cut = racy, catalog.Time{Sec: h.Started.Sec}, o.Generations, o.Trust, o.Tell, o.Suspect, o.Cut
	r := newReader(root, o, device)
	c.read, c.look = r.read, r.look
	res.ByGeneration = known != nil && o.Trust && o.Generations.of(h.Root.FS) != nil
	if res.ByGeneration && c.top(h) == markUntouched && len(known.Unsettled) == 0 && o.Generations.nothingNewer(newReader(root, o, device)) {
		res.to.HandOnAll()
		res.Took, res.Generations = time.Since(began), o.Generations.Record(0)
		return res, nil
	}
	w := &walker{root: root, options: o, rootDev: device, show: c.show}
	if err := w.walk(ctx, h.Root, c.top(h)); err != nil {
		return nil, err
	}
	if err := c.rest(); err != nil {
		return nil, err
	}
	if err := c.list.addLinks(res.dirs); err != nil {
		return nil, err
	}
	var doubtful []string
	if res.Moves, doubtful, err = c.moves.find(c); err != nil {
		return nil, err
	}
	c.list.doubtful = append(c.list.doubtful, doubtful...)
	res.Generations, res.Missed = o.Generations.Record(c.apart), c.missed
	if o.Generations == nil {
		res.Generations = o.nested.record()
	}
	res.List, res.TooLong = c.list.list(), c.list.tooMuch()
	if o.denied.Load() {
		res.Unread = "some of the source may not be read"
	}
	res.Took = time.Since(began)
	return res, nil
}

// describe makes the header. The clock is that of the kernel for the times of files.
func describe(root *os.File, source string, rules []string, o Options) (catalog.Header, uint64, error) {
	h := catalog.Header{Source: source, Rules: rules}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return h, 0, os.NewSyscallError("clock_gettime", err)
	}
	h.Started = catalog.Time{Sec: int64(now.Sec), Nsec: uint32(now.Nsec)}
	if !o.AsOf.IsZero() {
		h.Started = catalog.Time{Sec: o.AsOf.Unix(), Nsec: uint32(o.AsOf.Nanosecond())}
	}
	r := newReader(root, o, 0)
	fd := int(root.Fd())
	_, device, err := r.stat(fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return h, 0, pathError("stat", root.Name(), err)
	}
	fs, err := r.filesystem(fd, ".", device)
	if err != nil {
		return h, 0, pathError("statfs", root.Name(), err)
	}
	top, _, err := r.stat(fd, "", unix.AT_EMPTY_PATH) // again, after its generation was noted
	if err != nil {
		return h, 0, pathError("stat", root.Name(), err)
	}
	if !isTrusted(fs.identity) {
		return h, 0, fmt.Errorf("%w: inode numbers and times of its filesystem are not reliable", ErrUnfit)
	}
	h.Root, h.Root.Name, h.Root.FS = top, ".", fs.identity
	up, _, err := r.stat(fd, "..", 0)
	h.Parent, h.Parent.Name = up, ".."
	return h, device, pathError("stat", root.Name()+"/..", err)
}

// Settle examines the directories of the transfer again after it: those of list, or all if list is nil. Directories
// that changed meanwhile may have been read in another state than that in the catalog; they are passed to Finish.
func (res *Result) Settle(root *os.File, list *List) ([]catalog.Unsettled, error) {
	check := settling{root: root, reader: newReader(root, Options{}, 0)}
	if list != nil {
		check.only = list.ways()
	}
	if err := check.top(res.top); err != nil {
		return nil, err
	}
	next := res.dirs()
	for d, more, err := next(); more || err != nil; d, more, err = next() {
		if err != nil {
			return nil, err
		}
		if err := check.below(d); err != nil {
			return nil, err
		}
	}
	return check.unsettled, nil
}

// dirs reads the new catalog again.
func (res *Result) dirs() func() (catalog.Dir, bool, error) {
	var r *catalog.Reader
	size, err := res.to.Flush()
	if err == nil {
		r, err = catalog.ReadUnfinished(res.file, size)
	}
	return func() (catalog.Dir, bool, error) {
		if err != nil {
			return catalog.Dir{}, false, err
		}
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return catalog.Dir{}, false, nil
		}
		return d, err == nil, err
	}
}

// Finish ends the catalog, to which it adds the data that Reader.Extra returns in the next run, and returns its
// checksum. The caller makes it durable. Settle and Finish may be called again: the last end counts.
func (res *Result) Finish(unsettled []catalog.Unsettled, extra []byte) ([]byte, error) {
	size, err := res.to.Flush()
	if err == nil && res.finished {
		_, err = res.file.Seek(int64(size), io.SeekStart)
		err = errors.Join(err, res.file.Truncate(int64(size)))
	}
	if err != nil {
		return nil, err
	}
	res.finished = true
	return res.to.Finish(unsettled, extra)
}

// ChangedBefore reports whether a path below root had changed, or was deleted, before the walk began.
func (res *Result) ChangedBefore(root *os.File, path string, deleted bool) bool {
	if deleted {
		path = filepath.Dir(path) // whose time shows when a name was removed
	}
	dir, err := at.OpenBeneath(root, filepath.Dir(path))
	if err != nil {
		return false // it no longer exists
	}
	defer dir.Close()
	st, err := at.Stat(dir, filepath.Base(path))
	return err == nil && st.Ctim.Nano() < res.top.Started.Sec*1e9
}
