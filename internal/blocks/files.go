package blocks

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/catalog"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/pending"
	"github.com/rsbtbackup/rsbtbackup/internal/scan"
)

const (
	// MinSize is the smallest size for which this is faster than rsync.
	MinSize = 8 << 20
	// maxMet limits the files that are examined in one run, maxPieces the pieces of one file.
	maxMet    = 50_000
	maxPieces = 200_000
)

// Files are the large files of a source in one run. The order is Meet for each, Update, the transfer, Settle.
type Files struct {
	gens  *scan.Generations
	known map[string]file // from the last run
	sure  bool            // pending has the files that the last catalog describes
	met   []met
	noted []noted
	next  map[string]file
}

// met is a file that is new or has changed, or whose addresses are unknown.
type met struct {
	path      string
	was, now  catalog.Entry
	unchanged bool
}

// noted is a file with its addresses that the backup will have in this state.
type noted struct {
	met
	file
}

// Copied is what Update did.
type Copied struct {
	pending.SparseCopied          // files that had changed
	Read                 int64    // in bytes, of these
	Doubts               []string // those that rsync will compare
}

// New begins with the record of the last backup, if there is one. It is nil if the kernel cannot report addresses.
// first means that there is no backup yet.
func New(gens *scan.Generations, known *catalog.Reader, first bool) *Files {
	if gens == nil {
		return nil
	}
	f := &Files{gens: gens, sure: first || known != nil, next: map[string]file{}}
	if known != nil {
		f.known = parse(known.Extra, gens.Life())
	}
	return f
}

// Meet adds the large files of a directory; it is called by scan.Options.Tell.
func (f *Files) Meet(old, now catalog.Dir, unchanged func(was, e catalog.Entry) bool) {
	i := 0
	for j := range now.Entries {
		e := &now.Entries[j]
		if e.Size < MinSize || e.Mode&unix.S_IFMT != unix.S_IFREG || e.Links != 1 {
			continue
		}
		for i < len(old.Entries) && old.Entries[i].Name < e.Name {
			i++
		}
		var was catalog.Entry
		if i < len(old.Entries) && isSame(old.Entries[i], *e) {
			was = old.Entries[i]
		}
		f.meet(path.Join(now.Path, e.Name), was, *e, unchanged(was, *e))
	}
}

// isSame reports whether an entry is the same file, perhaps changed.
func isSame(was, e catalog.Entry) bool {
	return was.Name == e.Name && was.FS == e.FS && was.Inode == e.Inode && was.Birth == e.Birth && was.Mode&unix.S_IFMT == e.Mode&unix.S_IFMT
}

func (f *Files) meet(path string, was, now catalog.Entry, unchanged bool) {
	known, found := f.known[path]
	switch {
	case unchanged && found && known.generation > 0:
		f.next[path] = known
	case !f.sure || unchanged && !found || len(f.met) == maxMet:
	case f.gens.Noted(now.FS) > 0:
		f.met = append(f.met, met{path, was, now, unchanged})
	}
}

// How says what Update may do.
type How struct {
	Copy   bool     // pending equals the catalog
	Doubts []string // files that rsync will compare, regardless of size and time
	Step   pending.Step
	Log    *slog.Logger
}

// Update copies the changes of files below source into those below work (pending) whose earlier state is known, and
// notes the addresses of all. Files that it cannot copy are left to rsync.
func (f *Files) Update(ctx context.Context, source, work *os.File, how How) (done Copied, err error) {
	left := map[string]bool{}
	for _, path := range how.Doubts {
		left[path] = true
	}
	for _, m := range f.met {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		proven, err := f.update(ctx, source, work, m, how, left[m.path], &done)
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		if left[m.path] = left[m.path] && !proven; err != nil {
			how.Log.Info("left to rsync", "path", m.path, "why", err)
		}
	}
	f.met = nil
	done.Doubts = slices.DeleteFunc(slices.Clone(how.Doubts), func(path string) bool { return !left[path] })
	if done.Files > 0 {
		how.Log.Info("copied only the changed blocks of large files", "files", done.Files, "size", done.Size, "read", done.Read, "written", done.Written)
	}
	return done, nil
}

// update reports whether pending has the file in its present state. compared: rsync would compare it.
func (f *Files) update(ctx context.Context, source, work *os.File, m met, how How, compared bool, done *Copied) (proven bool, err error) {
	from, st, err := open(source, m)
	if from == nil || err != nil {
		return false, err
	}
	defer from.Close()
	known := f.known[m.path]
	now, err := extents(from, known.generation)
	if err != nil {
		return false, err
	}
	to, had, err := openCopy(work, m.path)
	if err != nil {
		return false, err
	}
	if to != nil {
		defer to.Close()
	}
	if how.Copy && to != nil && known.generation > 0 && !m.unchanged && isCopy(m.was, had) {
		if proven, err = f.copy(ctx, to, from, &st, m, known, now, how.Step, done); err != nil {
			return false, err
		}
		return proven, f.note(m, now)
	}
	// rsync copies it, or it is unchanged.
	if m.unchanged || compared || to == nil || !isCopy(m.now, had) {
		return false, f.note(m, now)
	}
	return false, nil
}

// copy copies the changes.
func (f *Files) copy(ctx context.Context, to, from *os.File, st *unix.Stat_t, m met, old file, now []placed, step pending.Step, done *Copied) (bool, error) {
	was, err := decode(old.pieces)
	if err != nil {
		return false, err
	}
	asked := map[uint64]bool{}
	since := func(address uint64) bool {
		lies, again := asked[address]
		if !again {
			born, known := bornAt(from, address)
			lies = known && born <= old.generation
			asked[address] = lies
		}
		return lies
	}
	ranges := changes(was, now, m.was.Size, m.now.Size, old.generation, since)
	if len(ranges) == 0 && m.was.Size == m.now.Size && m.was.Modify == m.now.Modify {
		return true, nil
	}
	copied, err := pending.CopyRanges(ctx, to, from, st, ranges, step)
	if done.Read, done.Written = done.Read+copied.Read, done.Written+copied.Written; copied.Done {
		done.Files, done.Size = done.Files+1, done.Size+st.Size
	}
	if fail.IsFull(err) {
		err = nil // rsync reports it
	}
	return copied.Done, err
}

// note notes the addresses of a file for Settle.
func (f *Files) note(m met, now []placed) error {
	pieces, err := encode(plain(now))
	if err == nil {
		f.noted = append(f.noted, noted{m, file{generation: f.gens.Noted(m.now.FS), pieces: pieces}})
	}
	return err
}

// Settle examines the files with new addresses again after the transfer, drops those that have changed, and returns the
// record for the next run. It may be called again.
func (f *Files) Settle(source *os.File, log *slog.Logger) []byte {
	if f == nil {
		return nil
	}
	for _, n := range f.noted {
		same, err := isStill(source, n)
		if err != nil {
			log.Info("the location of a large file is not stored", "path", n.path, "why", err)
		}
		if delete(f.next, n.path); same && err == nil {
			f.next[n.path] = n.file
		}
	}
	if len(f.next) == 0 {
		return nil
	}
	return render(f.gens.Life(), f.next)
}

// isStill reports whether a file is unchanged, with the same addresses. A write that had begun when the file was first
// opened may have finished only now, with the old time.
func isStill(source *os.File, n noted) (bool, error) {
	f, _, err := open(source, n.met)
	if f == nil || err != nil {
		return false, err
	}
	defer f.Close()
	now, err := extents(f, 0)
	if err != nil {
		return false, err
	}
	pieces, err := encode(plain(now))
	if err != nil || string(pieces) != string(n.pieces) {
		return false, err
	}
	st, err := at.StatFile(f)
	return err == nil && isEntry(n.now, st), err
}

// ticked is longer than a tick of the clock for the times of files.
const ticked = 25 * time.Millisecond

// open opens a file of the source, with all its data flushed. It is nil if the file is not the one that was met, or may
// change without a trace. A later change sets another time.
func open(root *os.File, m met) (*os.File, unix.Stat_t, error) {
	dir, err := at.OpenBeneath(root, path.Dir(m.path))
	if err != nil {
		return nil, unix.Stat_t{}, err
	}
	defer dir.Close()
	f, err := at.Open(dir, path.Base(m.path), unix.O_RDONLY|unix.O_NOATIME, 0)
	if err != nil {
		return nil, unix.Stat_t{}, err
	}
	if age := time.Since(time.Unix(m.now.Change.Sec, int64(m.now.Change.Nsec))); age >= 0 && age < ticked {
		time.Sleep(ticked)
	}
	st, err := at.StatFile(f)
	if err == nil && isEntry(m.now, st) {
		var inPlace bool
		inPlace, err = btrfs.NoCOW(f)
		if err == nil && !inPlace {
			err = btrfs.WriteOut(f)
		}
		if err == nil && !inPlace {
			return f, st, nil
		}
	}
	return nil, st, errors.Join(err, f.Close())
}

// openCopy opens the file in pending; nil if there is none with one name.
func openCopy(work *os.File, name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	dir, err := at.OpenBeneath(work, path.Dir(name))
	if at.IsNoDir(err) {
		return nil, st, nil
	}
	if err != nil {
		return nil, st, err
	}
	defer dir.Close()
	st, err = at.Stat(dir, path.Base(name))
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 {
		return nil, st, at.IgnoreNotExist(err)
	}
	f, err := at.Open(dir, path.Base(name), unix.O_RDWR, 0)
	return f, st, err
}

// isEntry reports whether a file is the one that a walk saw.
func isEntry(e catalog.Entry, st unix.Stat_t) bool {
	return st.Ino == e.Inode && uint64(st.Size) == e.Size && st.Mode == e.Mode && uint32(st.Nlink) == e.Links && isTime(e.Modify, st.Mtim) && isTime(e.Change, st.Ctim)
}

// isCopy reports whether a file of pending has the size and time that a walk saw.
func isCopy(e catalog.Entry, st unix.Stat_t) bool {
	return uint64(st.Size) == e.Size && isTime(e.Modify, st.Mtim)
}

func isTime(t catalog.Time, ts unix.Timespec) bool {
	return t.Sec == int64(ts.Sec) && int64(t.Nsec) == int64(ts.Nsec)
}

// plain is the record of the addresses of a file.
func plain(now []placed) (pieces []piece) {
	for _, p := range now {
		pieces = add(pieces, p.piece)
	}
	return pieces
}
