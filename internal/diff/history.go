// History: the versions of one path through all backups.

package diff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
)

// PathHistory is rsbtbackup.PathHistory, where each field has its comment.
type PathHistory struct {
	Dest     string
	Path     string
	Backups  int
	Versions []facts.Version
	Unread   []string
	Passed   []string
}

// History is rsbtbackup.History.
func History(ctx context.Context, dest, path string) (*PathHistory, error) {
	inside, err := store.InsidePath(path)
	if err != nil {
		return nil, fail.Step("options", err)
	}
	s, err := store.Open(dest)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	h, err := history(s, ctx, inside)
	if err != nil {
		return nil, err
	}
	err = h.unread()
	switch {
	case len(h.versions) > 0:
		return &PathHistory{Dest: s.Path, Path: at.CmpOrDot(inside), Backups: h.backups, Versions: h.versions, Unread: texts(h.failed), Passed: h.passed}, err
	case err != nil:
		return nil, err
	case len(h.passed) > 0:
		return nil, fail.Step("look up", noPath("%q is in no backup of %s that can be opened; %s cannot be", path, s.Path, say.SomeNames(h.passed)))
	}
	return nil, fail.Step("look up", noPath("%q is in no backup of %s%s", path, s.Path, h.link))
}

// history visits all backups, and visits them again if one was deleted meanwhile: what was found in it may be wrong,
// and the next one was compared with it.
func history(s *store.Store, ctx context.Context, path string) (*historian, error) {
	for {
		st, err := s.ReadState(time.Local)
		if err != nil {
			return nil, fail.Step("read", err)
		}
		h := &historian{ctx: ctx, path: path, backups: len(st.All()), passed: store.BackupNames(st.Broken)}
		for i := 0; i < len(st.Backups) && err == nil; i++ {
			err = h.visit(s.Dir, st.Backups[i])
		}
		h.close()
		var gone error
		for i := 0; i < len(st.Backups) && gone == nil; i++ {
			gone = s.Gone(st.Backups[i])
		}
		switch {
		case errors.Is(gone, facts.ErrBackupGone) && ctx.Err() == nil:
		case err != nil:
			return nil, fail.Step("look up", err)
		default:
			return h, fail.Step("look up", gone)
		}
	}
}

func texts(errs []error) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

// historian keeps the last visited backup open.
type historian struct {
	ctx      context.Context
	path     string
	versions []facts.Version
	last     *diffSide
	seen     *diffLink // the file in last; nil if there is none
	rank     int       // rank of Take in the last version
	failed   []error   // what could not be looked up or compared
	backups  int       // how many there are
	passed   []string  // of these, those that cannot be opened
	link     string    // a hint that a parent of the path is a symlink, from the last backup where one is
}

// unread returns the first error.
func (h *historian) unread() error {
	if len(h.failed) == 0 {
		return nil
	}
	return fail.Step("compare", fail.Kindf(facts.ErrNotCompared, "%s could not be made: %w", say.Plural(len(h.failed), "comparison"), h.failed[0]))
}

// skip notes an error and lets the history continue: especially when data is damaged, users look for the versions of a
// file.
func (h *historian) skip(err error) error {
	if err == nil || !at.IsUnreadable(err) {
		return err
	}
	h.failed = append(h.failed, err)
	return nil
}

func (h *historian) close() {
	if h.last != nil {
		// Nothing was written.
		_ = h.last.root.Close()
	}
}

// visit looks at the next backup.
func (h *historian) visit(dest *os.File, backup facts.Snapshot) error {
	if h.ctx.Err() != nil {
		return context.Cause(h.ctx)
	}
	root, err := btrfs.OpenDirAt(dest, backup.Name)
	if err != nil {
		return h.skip(err)
	}
	side := &diffSide{name: backup.Name, root: root, readOnly: backup.ReadOnly}
	st, err := at.LookInside(root, h.path)
	var now *diffLink
	if err == nil {
		now = &diffLink{path: h.path, st: st}
	} else if !at.IsAbsent(err) {
		return errors.Join(h.skip(err), root.Close())
	} else {
		h.link = cmp.Or(at.ThroughSymlink(root, h.path), h.link)
	}
	if err := h.compare(side, now, rankOf(backup)); err != nil {
		return errors.Join(err, root.Close())
	}
	h.close()
	h.last, h.seen = side, now
	return nil
}

// intact is the lowest rank of a backup without known damage.
const intact = 2

// rankOf says how well a backup is suited to restore from.
func rankOf(b facts.Snapshot) int {
	rank := 0
	if !b.Damaged() {
		rank += intact
	}
	if b.Status == facts.Complete {
		rank++
	}
	return rank
}

func (h *historian) compare(side *diffSide, now *diffLink, rank int) error {
	switch {
	case now == nil && h.seen != nil:
		h.versions[len(h.versions)-1].Vanished = side.name
		return nil
	case now == nil:
		return nil
	case h.seen == nil:
		h.begin(side.name, now.st, rank)
		return nil
	}
	changed, err := h.changes(side, now)
	unread := err != nil
	if unread {
		if err := h.skip(fmt.Errorf("%s to %s: %w", h.last.name, side.name, err)); err != nil {
			return err
		}
	}
	if len(changed) > 0 || unread {
		v := h.begin(side.name, now.st, rank)
		v.Changed, v.Unread = changed, unread
		return nil
	}
	v := &h.versions[len(h.versions)-1]
	v.Last = side.name
	v.Backups++
	if rank >= h.rank {
		v.Take, v.TakeDamaged, h.rank = side.name, rank < intact, rank
	}
	return nil
}

// changes returns the known changes; with an error there may be more.
func (h *historian) changes(side *diffSide, now *diffLink) ([]facts.DiffChange, error) {
	d := &differ{ctx: h.ctx, a: h.last, b: side, same: map[[2]at.FileID]bool{}}
	if err := d.relate(); err != nil {
		return nil, err
	}
	changed, err := d.changes(h.seen, now, false)
	if now.st.IsDir() && h.seen.st.IsDir() && now.st.MTime != h.seen.st.MTime {
		i := slices.Index(changed, facts.ChangedXattrs) // which come last
		if i < 0 {
			i = len(changed)
		}
		changed = slices.Insert(changed, i, facts.ChangedMtime)
	}
	return changed, err
}

func (h *historian) begin(name string, st at.Info, rank int) *facts.Version {
	const permissions = 0o7777
	h.rank = rank
	h.versions = append(h.versions, facts.Version{
		First: name, Last: name, Take: name, TakeDamaged: rank < intact, Backups: 1, Type: st.TypeName(), Size: st.FileSize(),
		Mode: facts.Permissions(st.Mode & permissions), UID: st.UID, GID: st.GID,
		ModTime: time.Unix(st.MTime.Sec, int64(st.MTime.Nsec)),
	})
	return &h.versions[len(h.versions)-1]
}
