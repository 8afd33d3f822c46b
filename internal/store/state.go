// The state of DEST, and what follows from it.

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
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// EntryKind is the kind of an entry with one of our names.
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
	// Strange: no run has made it. A run notes the pending that it makes. If a power cut takes that note, pending is a
	// snapshot of a backup, or a backup of it, or there is no backup.
	Strange bool
}

func (st *State) isStrange(p PendingState) bool {
	known := p.Kind != Subvolume || p.Note != nil && p.Note.WorkUUID == p.UUID.String()
	isKin := func(b facts.Snapshot) bool { return b.UUID == p.ParentUUID || b.ParentUUID == p.UUID }
	return !known && len(st.Backups) > 0 && !slices.ContainsFunc(st.All(), isKin)
}

// PublishedAs reports whether b was published from pending, so that pending is not an unfinished backup.
func (p *PendingState) PublishedAs(b *facts.Snapshot) bool {
	return p.Kind == Subvolume && b != nil && b.ParentUUID == p.UUID
}

// State is DEST at one moment.
type State struct {
	Backups []facts.Snapshot // oldest first
	Broken  []facts.Snapshot // oldest first; backups that cannot be opened
	Doubt   string           // about that order; if set, nothing may be deleted by policy
	Pending PendingState
	// LostPending: pending is damaged, and another name is used instead.
	LostPending bool
	Cur         EntryKind
	CurLink     string // where cur points, if it is a symlink
	curNext     EntryKind
	Trash       []string // backups whose deletion was interrupted
	Orphans     []string // records without a backup
	Foreign     []string // everything else, never touched
	Hidden      []string // those with the name of a backup on which something is mounted
	LogMode     uint32
	Instance    mounts.Instance
	// recordRead has, by name of backup, the state of the file of each record.
	recordRead map[string]at.Stamp
}

// CurHidden reports whether cur names a hidden backup. cur is not changed then, because the backup will be visible
// again.
func (st *State) CurHidden() bool {
	return st.Cur == Symlink && slices.Contains(st.Hidden, st.CurLink)
}

func (st *State) WarnOfHidden(log *slog.Logger) {
	if len(st.Hidden) > 0 {
		log.Warn("something is mounted on backups, which are not touched", "backups", st.Hidden)
	}
}

// All returns every backup, also those that cannot be opened, oldest first.
func (st *State) All() []facts.Snapshot {
	all := slices.Concat(st.Backups, st.Broken)
	slices.SortFunc(all, byAge)
	return all
}

// Find finds a backup among all. It refuses one that cannot be opened, instead of taking another one.
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
		return fail.Kindf(facts.ErrDamaged, "%s is damaged: nothing in it can be read: %w", b.Name, b.WhyNot)
	}
	return fmt.Errorf("%s cannot be opened: %w", b.Name, b.WhyNot)
}

// SetAside moves a backup to those that cannot be opened.
func (st *State) SetAside(b facts.Snapshot, why error) {
	st.Backups = slices.DeleteFunc(st.Backups, func(other facts.Snapshot) bool { return other.ID == b.ID })
	b.WhyNot, b.Unreadable = why, why.Error()
	st.Broken = append(st.Broken, b)
	slices.SortFunc(st.Broken, byAge)
}

// WarnOfBroken logs the backups that cannot be opened.
func (st *State) WarnOfBroken(log *slog.Logger) {
	for _, b := range st.Broken {
		log.Warn("a backup cannot be opened; it is not changed", "backup", b.Name, "error", b.WhyNot)
	}
}

// BrokenSince reports whether a backup that cannot be opened is newer than b, which may be nil.
func (st *State) BrokenSince(b *facts.Snapshot) bool {
	n := len(st.Broken)
	return n > 0 && (b == nil || Younger(st.Broken[n-1], *b))
}

// Newest returns the newest backup that can be opened, or nil. What merely has a backup's name does not count: files of
// equal sizes and times in it may have other content.
func (st *State) Newest() *facts.Snapshot {
	for i := range slices.Backward(st.Backups) {
		if st.Backups[i].RecordError != noRun {
			return &st.Backups[i]
		}
	}
	return nil
}

// guessing reports whether the newest complete backup is unknown, because a record cannot be read or the caller may not
// open a backup.
func (st *State) guessing() bool {
	newest := st.NewestComplete()
	for _, b := range st.All() {
		if (b.RecordError != "" || errors.Is(b.WhyNot, fs.ErrPermission)) && (newest == nil || Younger(b, *newest)) {
			return true
		}
	}
	return false
}

// NewestComplete returns the newest complete backup, or nil.
func (st *State) NewestComplete() *facts.Snapshot { return NewestComplete(st.Backups) }

func NewestComplete(backups []facts.Snapshot) *facts.Snapshot {
	for i := len(backups) - 1; i >= 0; i-- {
		if backups[i].Status == facts.Complete {
			return &backups[i]
		}
	}
	return nil
}
