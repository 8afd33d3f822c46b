// Reading the state of DEST.

package store

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// ReadState reads DEST. It takes no lock: a backup deleted meanwhile is not listed.
func (s *Store) ReadState(loc *time.Location) (*State, error) {
	names, err := at.Names(s.Dir)
	if err != nil {
		return nil, err
	}
	records, lost := s.openRecords(false)
	if lost != nil && !isLost(lost) {
		return nil, lost
	}
	if records != nil {
		defer records.Close()
	}
	s.findPending()
	st := &State{Instance: mounts.ReadInstance(s.Dir), recordRead: map[string]at.Stamp{}}
	var others []string
	for _, name := range names {
		ours, err := s.readOurs(st, name, loc)
		if err != nil {
			return nil, err
		}
		if !ours {
			others = append(others, name)
		}
	}
	if err := s.readBackups(st, records, others, loc); err != nil {
		return nil, err
	}
	slices.Sort(st.Foreign)
	slices.Sort(st.Hidden)
	have := make(map[string]bool, len(st.Backups)+len(st.Hidden))
	for _, name := range st.Hidden {
		have[name] = true
	}
	for i := range st.Backups {
		b := &st.Backups[i]
		have[b.Name] = true
		b.Current = st.Cur == Symlink && st.CurLink == b.Name
		if lost != nil { // the records are unknown
			b.Status, b.RecordError = facts.Incomplete, lost.Error()
		}
	}
	st.setApart()
	st.Pending.Strange = st.isStrange(st.Pending)
	if st.Orphans, err = orphanRecords(records, have); err != nil && !btrfs.IsDamage(err) {
		return nil, err
	}
	if s.logLost != nil {
		st.LogMode = 0o700
		return st, nil
	}
	log, err := at.Stat(s.logDir, ".")
	st.LogMode = log.Mode & 0o7777
	return st, err
}

// setApart sorts the backups, and moves those that cannot be opened to Broken.
func (st *State) setApart() {
	st.Doubt = setOrder(st.Backups)
	distrustUnrecorded(st.Backups)
	all := st.Backups
	st.Backups = nil
	for _, b := range all {
		if b.Unreadable != "" {
			st.Broken = append(st.Broken, b)
		} else {
			st.Backups = append(st.Backups, b)
		}
	}
}

// noRun is the RecordError of a subvolume that was not made by this program.
const noRun = "no run of rsbtbackup is recorded, as it is for an older backup: somebody else made it, or its record was removed"

// distrustUnrecorded prevents deletions because of a subvolume that merely has a backup's name. Our backups are
// recorded before they exist, so real backups without a record were made by a predecessor, and are older than all with
// one. backups are in order. What pin and verify record does not count as the record of a run.
func distrustUnrecorded(backups []facts.Snapshot) {
	recorded := false
	for i := range backups {
		b := &backups[i]
		ours := b.Record != nil && !b.Record.Started.IsZero()
		recorded = recorded || ours
		if recorded && !ours && b.RecordError == "" {
			b.Status, b.RecordError = facts.Incomplete, noRun
		}
	}
}

// readOurs reads name if it is one of ours, apart from backups.
func (s *Store) readOurs(st *State, name string, loc *time.Location) (ours bool, err error) {
	if strings.HasPrefix(name, trashPrefix) {
		return true, s.readTrash(st, name, loc)
	}
	switch name {
	case LogDirName, rsyncbtrfsMarker:
	case CurName:
		st.Cur, st.CurLink, err = s.readLink(name)
	case curNextName:
		st.curNext, _, err = s.readLink(name)
	case s.PendingName():
		st.Pending, err = s.readPending()
	case PendingName:
		st.LostPending = true
	default:
		return false, nil
	}
	return true, err
}

// readBackups sorts names into backups and foreign entries. Half of the time is spent in system calls and half in
// records, and with empty caches nearly all of it in waiting for the disk, so many backups are read in parallel.
func (s *Store) readBackups(st *State, records *os.File, names []string, loc *time.Location) error {
	const share, most = 4, 8 // backups for each reader, and readers
	workers := min(most, 1+len(names)/share)
	found := make([]*foundBackup, len(names))
	hidden := make([]bool, len(names))
	errs := make([]error, workers)
	read := func(w int) {
		for i := w; i < len(names) && errs[w] == nil; i += workers {
			found[i], errs[w] = s.readBackup(records, names[i], loc)
			if errors.Is(errs[w], btrfs.ErrMountPoint) {
				hidden[i], errs[w] = true, nil
			}
		}
	}
	var group sync.WaitGroup
	for w := 1; w < workers; w++ {
		group.Go(func() { read(w) })
	}
	read(0)
	group.Wait()
	for i, b := range found {
		if b != nil {
			st.Backups = append(st.Backups, b.Snapshot)
			st.recordRead[b.Name] = b.recordRead
			continue
		}
		st.Foreign = append(st.Foreign, names[i])
		if hidden[i] {
			st.Hidden = append(st.Hidden, names[i])
		}
	}
	return errors.Join(errs...)
}

// trashName is the name of a backup that is being deleted. It has the UUID of the subvolume, which no entry can have by
// chance: what somebody else made or copied is not deleted.
func trashName(name string, uuid btrfs.UUID) string { return trashPrefix + name + "." + uuid.String() }

// isTrash reports whether a run has given that name to the subvolume.
func isTrash(name string, uuid btrfs.UUID, loc *time.Location) bool {
	original := strings.TrimSuffix(strings.TrimPrefix(name, trashPrefix), "."+uuid.String())
	_, valid := parseName(original, loc)
	return valid && name == trashName(original, uuid)
}

// readTrash accepts only a subvolume that a run has renamed as a backup that is being deleted.
func (s *Store) readTrash(st *State, name string, loc *time.Location) error {
	info, err := s.subvolumeAt(name)
	if isUnopened(err) {
		info, err = s.subvolumeNamed(name)
	}
	switch {
	case err != nil && !errors.Is(err, btrfs.ErrMountPoint):
		return err
	case info == nil || !isTrash(name, info.UUID, loc):
		st.Foreign = append(st.Foreign, name)
	default:
		st.Trash = append(st.Trash, name)
	}
	return nil
}

// readLink returns the kind of name and the target of a symlink.
func (s *Store) readLink(name string) (EntryKind, string, error) {
	target, err := at.Readlink(s.Dir, name)
	if err == nil {
		return Symlink, target, nil
	}
	if btrfs.IsDamage(err) {
		return unreadable, "", nil
	}
	if !errors.Is(err, unix.EINVAL) {
		return Absent, "", at.IgnoreNotExist(err)
	}
	stat, err := at.Stat(s.Dir, name)
	switch {
	case btrfs.IsDamage(err):
		return unreadable, "", nil
	case err != nil:
		return Absent, "", at.IgnoreNotExist(err)
	case stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return Directory, "", nil
	}
	return Other, "", nil
}

func (s *Store) PendingName() string { return cmp.Or(s.pendingAt, PendingName) }

// findPending finds the name of pending. A damaged one can be neither removed nor renamed (Linux 6.18), and must not
// prevent backups forever.
func (s *Store) findPending() {
	for n := 0; ; n++ {
		s.pendingAt = PendingName
		if n > 0 {
			s.pendingAt += spareInfix + strconv.Itoa(n)
		}
		if _, err := s.subvolumeAt(s.pendingAt); !btrfs.IsDamage(err) || n >= maxSpares {
			return
		}
	}
}

// maxSpares is more than a disk will damage before it is replaced.
const maxSpares = 9

// readPending describes pending of any kind.
func (s *Store) readPending() (p PendingState, err error) {
	if p.Kind, _, err = s.readLink(s.PendingName()); err != nil || p.Kind != Directory {
		return p, err
	}
	info, err := s.subvolumeAt(s.PendingName())
	if info == nil {
		if errors.Is(err, btrfs.ErrMountPoint) || btrfs.IsDamage(err) {
			err = nil // a directory that can be neither removed nor renamed
		}
		return p, err
	}
	p.Kind, p.UUID, p.ParentUUID, p.ReadOnly = Subvolume, info.UUID, info.ParentUUID, info.ReadOnly
	p.Note = s.readWorkNote()
	return p, nil
}

// foundBackup is a backup and the state of the file of its record.
type foundBackup struct {
	facts.Snapshot
	recordRead at.Stamp
}

// readBackup returns nil for an entry that is not a backup: a foreign name, or a backup's name that is not a subvolume.
func (s *Store) readBackup(records *os.File, name string, loc *time.Location) (*foundBackup, error) {
	t, ok := parseName(name, loc)
	if !ok {
		return nil, nil
	}
	info, err := s.subvolumeAt(name)
	var whyNot error
	if isUnopened(err) {
		whyNot = err
		info, err = s.subvolumeNamed(name)
	}
	if err != nil || info == nil {
		return nil, err
	}
	b := &foundBackup{Snapshot: facts.Snapshot{Name: name, Time: t, ID: info.ID, UUID: info.UUID, ParentUUID: info.ParentUUID, Received: !info.ReceivedUUID.IsZero(), Made: info.OTransID, Generation: max(info.OTransID, info.CTransID), Touched: info.CTransID > info.OTransID, ReadOnly: info.ReadOnly, Status: facts.Complete, WhyNot: whyNot}}
	if whyNot != nil {
		b.Unreadable = whyNot.Error()
	}
	b.Record, b.recordRead, err = readStampedRecord(records, name)
	switch {
	case err != nil:
		b.Status, b.RecordError = facts.Incomplete, err.Error()
	case b.Record != nil:
		b.Status, b.Added = b.Record.Status, b.Record.AddedBytes
		if !b.Record.Started.IsZero() {
			b.Time = b.Record.Started.In(loc).Truncate(time.Second)
		}
	}
	return b, nil
}

// subvolumeAt returns nil for anything that is not a subvolume, also for a symlink to one. For a mount point, the error
// is btrfs.ErrMountPoint.
func (s *Store) subvolumeAt(name string) (*btrfs.Info, error) {
	d, err := btrfs.OpenDirAt(s.Dir, name)
	if at.IsNoDir(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	info, err := btrfs.SubvolumeInfo(d)
	if errors.Is(err, btrfs.ErrNotSubvolume) || errors.Is(err, btrfs.ErrNotBtrfs) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil // ErrNotExist: it was deleted after it was opened
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// isUnopened reports that the name exists but cannot be opened, by anybody or by the caller.
func isUnopened(err error) bool { return at.IsUnreadable(err) || errors.Is(err, unix.ESTALE) }

// subvolumeNamed is subvolumeAt for an entry that cannot be opened. Without root it returns less.
func (s *Store) subvolumeNamed(name string) (*btrfs.Info, error) {
	info, err := btrfs.SubvolumeNamed(s.Dir, name)
	if errors.Is(err, btrfs.ErrNotSubvolume) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// has reports whether the name of b still belongs to b.
func (s *Store) has(b facts.Snapshot) (bool, error) {
	info, err := s.subvolumeAt(b.Name)
	if isUnopened(err) {
		info, err = s.subvolumeNamed(b.Name)
	}
	return err == nil && info != nil && info.ID == b.ID, err
}

// IsEmpty reports whether a backup is empty.
func (s *Store) IsEmpty(name string) (bool, error) {
	d, err := at.OpenDir(s.Dir, name)
	if err != nil {
		return false, err
	}
	defer d.Close()
	return at.IsEmpty(d)
}
