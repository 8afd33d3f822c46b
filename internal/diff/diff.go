// Diff: what changed from one backup to another.
//
// Both methods, the kernel's change stream (stream.go) and the walk of both trees (tree.go), only find candidates:
// names that are not where they were, and files whose inode was touched. What happened to them is decided in one place
// (match.go, same.go) from the two backups themselves, so both methods give the same answer.

package diff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// Options are rsbtbackup.DiffOptions, where each field has its comment.
type Options struct {
	Path   string
	Method facts.DiffMethod
}

// Difference is rsbtbackup.Difference, where each field has its comment.
type Difference struct {
	Dest    string
	From    string
	To      string
	Path    string
	Method  facts.DiffMethod
	Entries []facts.DiffEntry
	Unread  []string
}

// maxUnread limits Difference.Unread.
const maxUnread = 1000

// Run is rsbtbackup.Diff.
func Run(ctx context.Context, dest, from, to string, o Options) (*Difference, error) {
	inside := ""
	if o.Path != "" {
		var err error
		if inside, err = store.InsidePath(o.Path); err != nil {
			return nil, fail.Step("options", err)
		}
	}
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	d, err := newDiffer(s, from, to, inside)
	if err != nil {
		return nil, fail.Step("read", err)
	}
	defer d.close()
	d.ctx = ctx
	found := &Difference{Dest: s.Path, From: d.a.name, To: d.b.name, Path: inside}
	found.Method, err = d.run(o.Method)
	if err = d.explain(s, err); err != nil {
		return nil, fail.Step("compare", err)
	}
	slices.SortFunc(d.entries, compareEntries)
	found.Entries, found.Unread = d.entries, d.unread
	if d.unreadCount > 0 {
		return found, fail.Step("compare", fail.Kindf(facts.ErrNotCompared, "%s could not be read: %w", say.Plural(d.unreadCount, "file"), d.firstUnread))
	}
	return found, nil
}

// noPath returns an ErrNoPath that also matches fs.ErrNotExist.
func noPath(format string, args ...any) error {
	return fail.Kind(facts.ErrNoPath, fail.Kindf(fs.ErrNotExist, format, args...))
}

func compareEntries(a, b facts.DiffEntry) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.OldPath, b.OldPath), cmp.Compare(a.Kind, b.Kind))
}

// differ compares two backups, or the path inside in both.
type differ struct {
	ctx     context.Context
	a, b    *diffSide
	inside  string
	related bool // so that inode numbers mean the same in both

	mu          sync.Mutex // walks are parallel
	entries     []facts.DiffEntry
	unread      []string
	firstUnread error
	unreadCount int
	same        map[[2]at.FileID]bool // contents of files with several names
}

// diffSide is one of the two backups.
type diffSide struct {
	snap     facts.Snapshot
	name     string
	root     *os.File
	readOnly bool
	loose    map[string]*diffLink // by path: names that are not as they are on the other side
}

// diffLink is one name of one file.
type diffLink struct {
	path    string
	st      at.Info
	partner *diffLink // of a directory: the same directory on the other side
	done    bool      // already in an entry
}

func newDiffer(s *store.Store, from, to, inside string) (*differ, error) {
	st, err := s.ReadState(time.Local)
	if err != nil {
		return nil, err
	}
	d := &differ{inside: inside, same: map[[2]at.FileID]bool{}}
	for _, side := range []struct {
		ref string
		to  **diffSide
	}{{from, &d.a}, {to, &d.b}} {
		backup, err := st.Find(side.ref)
		if err != nil {
			d.close()
			return nil, err
		}
		root, err := btrfs.OpenDirAt(s.Dir, backup.Name)
		if err != nil {
			d.close()
			return nil, cmp.Or(s.Gone(backup), err)
		}
		*side.to = &diffSide{snap: backup, name: backup.Name, root: root, readOnly: backup.ReadOnly, loose: map[string]*diffLink{}}
	}
	return d, nil
}

func (d *differ) close() {
	for _, side := range []*diffSide{d.a, d.b} {
		if side != nil {
			// Nothing was written.
			_ = side.root.Close()
		}
	}
}

// explain returns ErrBackupGone if a backup was deleted meanwhile, instead of the consequences: missing files, or
// another error.
func (d *differ) explain(s *store.Store, err error) error {
	for _, side := range []*diffSide{d.a, d.b} {
		gone := s.Gone(side.snap)
		if errors.Is(gone, facts.ErrBackupGone) || err == nil && gone != nil {
			return gone
		}
	}
	return err
}

// run finds the candidates with one of the methods, and pairs them.
func (d *differ) run(method facts.DiffMethod) (facts.DiffMethod, error) {
	a, errA := at.LookInside(d.a.root, d.inside)
	b, errB := at.LookInside(d.b.root, d.inside)
	for _, err := range []error{errA, errB} {
		if err != nil && !at.IsAbsent(err) {
			return "", err
		}
	}
	if errA != nil && errB != nil {
		why := cmp.Or(at.ThroughSymlink(d.b.root, d.inside), at.ThroughSymlink(d.a.root, d.inside))
		return "", noPath("%q is neither in %s nor in %s%s", d.inside, d.a.name, d.b.name, why)
	}
	if err := d.relate(); err != nil {
		return "", err
	}
	tops := errA == nil && errB == nil && a.IsDir() && b.IsDir()
	if method != facts.DiffWalk {
		ok, err := d.trySend(tops && (d.inside == "" || a.ID == b.ID))
		switch {
		case (btrfs.IsDamage(err) || errors.Is(err, errSend) && d.ctx.Err() == nil) && method == facts.DiffAuto:
			d.forget() // the kernel fails at damage that a walk can skip, and at some orders of renames
		case ok || err != nil:
			return facts.DiffSend, err
		}
		if method == facts.DiffSend {
			return "", fmt.Errorf("%s and %s: a change stream needs root and two read-only backups that are related", d.a.name, d.b.name)
		}
	}
	if err := d.walkBoth(topLink(d.inside, a, errA), topLink(d.inside, b, errB)); err != nil {
		return "", err
	}
	return facts.DiffWalk, d.match()
}

// forget resets the differ.
func (d *differ) forget() {
	clear(d.a.loose)
	clear(d.b.loose)
	d.entries, d.unread, d.unreadCount, d.firstUnread = nil, nil, 0, nil
}

func topLink(p string, st at.Info, err error) *diffLink {
	if err != nil {
		return nil
	}
	return &diffLink{path: p, st: st}
}

// relate compares the roots: a snapshot keeps the time of birth of its root.
func (d *differ) relate() error {
	a, err := at.LookInside(d.a.root, "")
	if err != nil {
		return err
	}
	b, err := at.LookInside(d.b.root, "")
	d.related = a.ID == b.ID && a.ID.Known()
	return err
}

// skip notes an error once, so that the comparison continues.
func (d *differ) skip(err error) error {
	if err == nil || !at.IsUnreadable(err) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.unread, err.Error()) {
		return nil
	}
	d.firstUnread = cmp.Or(d.firstUnread, err)
	d.unreadCount++
	if len(d.unread) < maxUnread {
		d.unread = append(d.unread, err.Error())
	}
	return nil
}

func (d *differ) add(e facts.DiffEntry) {
	if e.OldPath == e.Path {
		e.OldPath = ""
	}
	if e.OldType == e.Type {
		e.OldType = ""
	}
	if e.Path == "" {
		e.Path = "."
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, e)
}

// report adds the entry for a file that is a in the first and b in the second backup, either of which may be nil.
func (d *differ) report(kind facts.DiffKind, a, b *diffLink, changed []facts.DiffChange) {
	e := facts.DiffEntry{Kind: kind, Changed: changed}
	if a != nil {
		e.Path, e.OldPath, e.Type, e.OldType, e.OldSize = a.path, a.path, a.st.TypeName(), a.st.TypeName(), a.st.FileSize()
	}
	if b != nil {
		e.Path, e.Type, e.Size = b.path, b.st.TypeName(), b.st.FileSize()
	}
	d.add(e)
}
