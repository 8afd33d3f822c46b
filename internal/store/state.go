// The state of DEST: what is there, and what follows from it.

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
)

// EntryKind is what stands under one of our names.
type EntryKind int

const (
	Absent EntryKind = iota
	Subvolume
	Directory
	Symlink
	Other
	unreadable
)

func (k EntryKind) String() string {
	return [...]string{"nothing", "subvolume", "directory", "symlink", "file", "damaged entry"}[k]
}

// PendingState describes DEST/pending.
type PendingState struct {
	Kind       EntryKind
	UUID       btrfs.UUID
	ParentUUID btrfs.UUID
	ReadOnly   bool
	Note       *WorkNote // nil: nothing is known
}

// PublishedAs tells whether b is pending as it was published, so that what is
// left of pending is no unfinished backup.
func (p *PendingState) PublishedAs(b *facts.Snapshot) bool {
	return p.Kind == Subvolume && b != nil && b.ParentUUID == p.UUID
}

// State is DEST at one moment.
type State struct {
	Backups []facts.Snapshot // oldest first
	Broken  []facts.Snapshot // oldest first; backups that cannot be opened
	Doubt   string           // about that order; nothing may be deleted by it
	Pending PendingState
	// lostPending tells that one is damaged, so that another name stands in for it.
	LostPending bool
	Cur         EntryKind
	CurLink     string // where cur points, if it is a symlink
	curNext     EntryKind
	Trash       []string // backups somebody died deleting
	Orphans     []string // records without a backup
	Foreign     []string // everything else, never touched
	Hidden      []string // of these, what has the name of a backup and may be one below what is mounted there
	LogMode     uint32
	Instance    Instance
	// recordRead says, by the names of backups, which state of its file each record is.
	recordRead map[string]at.Stamp
}

// CurHidden tells whether cur names what is hidden. It comes back whole, so cur
// is left alone until then.
func (st *State) CurHidden() bool {
	return st.Cur == Symlink && slices.Contains(st.Hidden, st.CurLink)
}

func (st *State) WarnOfHidden(log *slog.Logger) {
	if len(st.Hidden) > 0 {
		log.Warn("something is mounted on backups, which are left alone", "backups", st.Hidden)
	}
}

// All returns every backup, those that cannot be opened too, oldest first.
func (st *State) All() []facts.Snapshot {
	all := slices.Concat(st.Backups, st.Broken)
	slices.SortFunc(all, byAge)
	return all
}

// Find is find among all backups, that refuses one that cannot be opened: to
// take another in its place would be a guess.
func (st *State) Find(ref string) (facts.Snapshot, error) {
	b, err := Find(st.All(), ref)
	switch {
	case err != nil:
		return b, ExplainForeign(st, ref, err)
	case b.Unreadable != "":
		return b, Unreadable(b)
	}
	return b, nil
}

func Unreadable(b facts.Snapshot) error {
	if btrfs.IsDamage(b.WhyNot) {
		return fail.Kindf(facts.ErrDamaged, "%s is damaged, nothing in it can be read: %w", b.Name, b.WhyNot)
	}
	return fmt.Errorf("%s cannot be opened: %w", b.Name, b.WhyNot)
}

// SetAside puts a backup to those that cannot be opened.
func (st *State) SetAside(b facts.Snapshot, why error) {
	st.Backups = slices.DeleteFunc(st.Backups, func(other facts.Snapshot) bool { return other.ID == b.ID })
	b.WhyNot, b.Unreadable = why, why.Error()
	st.Broken = append(st.Broken, b)
	slices.SortFunc(st.Broken, byAge)
}

// WarnOfBroken tells the log of what is left out of everything that follows.
func (st *State) WarnOfBroken(log *slog.Logger) {
	for _, b := range st.Broken {
		log.Warn("a backup cannot be opened, and is left alone", "backup", b.Name, "error", b.WhyNot)
	}
}

// BrokenSince tells whether a backup that cannot be opened is younger than b,
// which may be nil.
func (st *State) BrokenSince(b *facts.Snapshot) bool {
	n := len(st.Broken)
	return n > 0 && (b == nil || Younger(st.Broken[n-1], *b))
}

// Newest returns the last backup made of those that can be opened, or nil.
func (st *State) Newest() *facts.Snapshot {
	if len(st.Backups) == 0 {
		return nil
	}
	return &st.Backups[len(st.Backups)-1]
}

// guessing tells whether a record that cannot be read, or a backup that the
// caller may not open, keeps us from knowing which backup is the newest complete
// one.
func (st *State) guessing() bool {
	newest := st.NewestComplete()
	for _, b := range st.All() {
		if (b.RecordError != "" || errors.Is(b.WhyNot, fs.ErrPermission)) && (newest == nil || Younger(b, *newest)) {
			return true
		}
	}
	return false
}

// NewestComplete returns the last backup that holds everything, or nil.
func (st *State) NewestComplete() *facts.Snapshot { return NewestComplete(st.Backups) }

func NewestComplete(backups []facts.Snapshot) *facts.Snapshot {
	for i := len(backups) - 1; i >= 0; i-- {
		if backups[i].Status == facts.Complete {
			return &backups[i]
		}
	}
	return nil
}
