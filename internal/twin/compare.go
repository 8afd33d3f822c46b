package twin

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/walk"
)

// Difference is a path at which a backup and its copy differ.
type Difference struct {
	Path string
	What []string
}

// Tally is what was compared.
type Tally struct {
	Names     int64
	Files     int64 // regular files whose content was compared
	BySums    int64 // of them, by checksums
	ByReading int64 // of them, by reading both
	Bytes     int64 // read, on each side
}

// Heard gets the results. It is called from several goroutines, one call at a time.
type Heard struct {
	Differs func(Difference)
	Unread  func(error) // an entry that cannot be read
	Tell    func(Tally)
}

// Account adds up results, from several goroutines.
type Account struct {
	mu    sync.Mutex
	tally Tally
	heard Heard
}

// NewAccount passes all results to heard.
func NewAccount(heard Heard) *Account { return &Account{heard: heard} }

// Tally is the present state.
func (a *Account) Tally() Tally {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tally
}

// Add counts.
func (a *Account) Add(t Tally) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tally.Names += t.Names
	a.tally.Files += t.Files
	a.tally.BySums += t.BySums
	a.tally.ByReading += t.ByReading
	a.tally.Bytes += t.Bytes
	a.heard.Tell(a.tally)
}

// Differs reports a difference.
func (a *Account) Differs(path string, what ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard.Differs(Difference{path, what})
}

// Unread reports an entry that cannot be read; the comparison continues.
func (a *Account) Unread(_ string, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard.Unread(err)
	return nil
}

// pairs are the files with several names, from the backup to the copy and back.
type pairs struct {
	mu     sync.Mutex
	to, of map[uint64]uint64
}

func newPairs() *pairs { return &pairs{to: map[uint64]uint64{}, of: map[uint64]uint64{}} }

// same reports whether the two are a pair, or makes them one.
func (p *pairs) same(a, b Entry) bool {
	if a.Links < 2 && b.Links < 2 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	to, known := p.to[a.Inode]
	of, back := p.of[b.Inode]
	if a.Links != b.Links || known != back || known && (to != b.Inode || of != a.Inode) {
		return false
	}
	p.to[a.Inode], p.of[b.Inode] = b.Inode, a.Inode
	return true
}

// Compare compares two trees on this host.
func Compare(ctx context.Context, backup, replica *Tree, account *Account) error {
	c := &comparison{ctx: ctx, backup: backup, replica: replica, account: account, pairs: newPairs()}
	return backup.Walk(ctx, c.entry, account.Unread)
}

type comparison struct {
	ctx             context.Context
	backup, replica *Tree
	account         *Account
	pairs           *pairs
}

func (c *comparison) entry(a Entry) (enter bool, err error) {
	name := string(a.Path)
	b, err := c.replica.Describe(name)
	switch {
	case at.IsAbsent(err):
		c.account.Differs(name, Missing)
		return false, nil
	case err != nil:
		return false, c.account.Unread(name, err)
	}
	what := Differ(a, b)
	if slices.Contains(what, Names) {
		if err := c.extra(name); err != nil {
			return false, err
		}
		what = slices.DeleteFunc(what, func(w string) bool { return w == Names })
	}
	if !slices.Contains(what, "type") && !a.IsDir() && !c.pairs.same(a, b) {
		what = append(what, Links)
	}
	tally := Tally{Names: 1}
	if a.IsFile() && b.IsFile() {
		what = append(what, c.content(a, b, &tally)...)
	}
	c.account.Add(tally)
	if len(what) > 0 {
		c.account.Differs(name, what...)
	}
	return a.IsDir() && b.IsDir(), c.ended()
}

func (c *comparison) ended() error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}

// content compares two files, by checksums if possible.
func (c *comparison) content(a, b Entry, tally *Tally) []string {
	if a.Size != b.Size {
		return nil // the hash includes it
	}
	tally.Files = 1
	if a.SameSums(b.Layout) {
		tally.BySums = 1
		return nil
	}
	same, err := sameContent(c.ctx, c.backup, c.replica, string(a.Path))
	if err != nil {
		if c.ctx.Err() == nil {
			_ = c.account.Unread("", err)
		}
		return nil
	}
	tally.ByReading, tally.Bytes = 1, a.Size
	switch {
	case !same:
		return []string{Content}
	case !a.SameHoles(b.Layout):
		return []string{Holes}
	}
	return nil
}

// extra reports the entries of a directory that only the copy has. Those that only the backup has are found by the
// walk.
func (c *comparison) extra(dir string) error {
	f, _, err := c.replica.open(dir)
	if err != nil {
		return c.account.Unread(dir, err)
	}
	defer f.Close()
	for c.ctx.Err() == nil {
		entries, err := f.ReadDir(walk.ReadBatch)
		for _, entry := range entries {
			if err := c.extraName(f, dir, entry); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.account.Unread(dir, err)
		}
	}
	return c.ended()
}

func (c *comparison) extraName(dir *os.File, rel string, entry os.DirEntry) error {
	left, err := isLeftOut(dir, entry)
	if err != nil || left {
		return err
	}
	name := path.Join(rel, entry.Name())
	place, err := at.OpenPathInside(c.backup.root, name, placeOnly)
	switch {
	case at.IsAbsent(err):
		c.account.Differs(name, Extra)
		return nil
	case err != nil:
		return c.account.Unread(name, err)
	}
	return errors.Join(err, place.Close())
}
