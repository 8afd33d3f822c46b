// Reading DEST: what is there, without changing or following anything.

package rsbtbackup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// Snapshot is one finished backup.
type Snapshot struct {
	Name string `json:"name"`
	// Time is when it was begun, in local time: what is on record, which names
	// from another time zone do not tell, or else what the name says.
	Time time.Time `json:"time"`
	// ID is the btrfs subvolume id. It only grows, so it gives the order in
	// which backups were made whatever clocks and time zones did.
	ID         uint64     `json:"id"`
	UUID       btrfs.UUID `json:"uuid"`
	ParentUUID btrfs.UUID `json:"parent_uuid"`
	Made       uint64     `json:"-"` // btrfs generation it was made in: nothing in it was younger then
	Generation uint64     `json:"-"` // of the last change inside; that of its root also moves when somebody makes a snapshot of it
	Touched    bool       `json:"-"` // something in it changed after it was made: by hand, or by deduplication
	ReadOnly   bool       `json:"read_only"`
	Status     Status     `json:"status"`
	Current    bool       `json:"current"` // cur names it
	Record     *Record    `json:"record,omitempty"`
	// RecordError says why the record could not be read. Such a backup
	// counts as incomplete and as pinned: nothing is deleted on a guess.
	RecordError string `json:"record_error,omitempty"`
	// Unreadable says why it can not be opened: its root directory is damaged, or
	// is not for the caller. Nothing else depends on such a backup: it is no base,
	// and no prune counts or deletes it.
	Unreadable string `json:"unreadable,omitempty"`
	WhyNot     error  `json:"-"` // the same
	// Exclusive is the file data on disk, in bytes, that would go if this
	// backup alone were deleted. ListSizes fills it in.
	Exclusive *uint64 `json:"exclusive_bytes,omitempty"`
	// Added is the file data on disk, in bytes, that the backups before it do
	// not share: from the record, or measured by ListSizes.
	Added *uint64 `json:"added_bytes,omitempty"`
}

// Pinned tells whether every prune must leave the backup alone.
func (b Snapshot) Pinned() bool {
	return b.RecordError != "" || b.Record != nil && b.Record.Pin != nil
}

// Damaged tells whether it is known that something in the backup can not be read
// any more.
func (b Snapshot) Damaged() bool {
	return btrfs.IsDamage(b.WhyNot) || b.Record != nil && b.Record.Verified != nil && b.Record.Verified.Result == Damaged
}

// entryKind is what stands under one of our names.
type entryKind int

const (
	absent entryKind = iota
	subvolume
	directory
	symlink
	other
	unreadable
)

func (k entryKind) String() string {
	return [...]string{"nothing", "subvolume", "directory", "symlink", "file", "damaged entry"}[k]
}

// pendingState describes DEST/pending.
type pendingState struct {
	kind       entryKind
	uuid       btrfs.UUID
	parentUUID btrfs.UUID
	readOnly   bool
	note       *workNote // nil: nothing is known
}

// publishedAs tells whether b is pending as it was published, so that what is
// left of pending is no unfinished backup.
func (p *pendingState) publishedAs(b *Snapshot) bool {
	return p.kind == subvolume && b != nil && b.ParentUUID == p.uuid
}

// state is DEST at one moment.
type state struct {
	backups []Snapshot // oldest first
	broken  []Snapshot // oldest first; backups that can not be opened
	pending pendingState
	// lostPending tells that one is damaged, so that another name stands in for it.
	lostPending bool
	cur         entryKind
	curLink     string // where cur points, if it is a symlink
	curNext     entryKind
	trash       []string // backups somebody died deleting
	orphans     []string // records without a backup
	foreign     []string // everything else, never touched
	hidden      []string // of these, what has the name of a backup and may be one below what is mounted there
	logMode     uint32
	instance    instance
	// recordRead says, by the names of backups, which state of its file each record is.
	recordRead map[string]stamp
}

// curHidden tells whether cur names what is hidden. It comes back whole, so cur
// is left alone until then.
func (st *state) curHidden() bool {
	return st.cur == symlink && slices.Contains(st.hidden, st.curLink)
}

func (st *state) warnOfHidden(log *slog.Logger) {
	if len(st.hidden) > 0 {
		log.Warn("something is mounted on backups, which are left alone", "backups", st.hidden)
	}
}

// all returns every backup, those that can not be opened too, oldest first.
func (st *state) all() []Snapshot {
	all := slices.Concat(st.backups, st.broken)
	slices.SortFunc(all, byAge)
	return all
}

func byAge(a, b Snapshot) int { return cmp.Compare(a.ID, b.ID) }

// find is find among all backups, that refuses one that can not be opened: to
// take another in its place would be a guess.
func (st *state) find(ref string) (Snapshot, error) {
	b, err := find(st.all(), ref)
	switch {
	case err != nil:
		return b, explainForeign(st, ref, err)
	case b.Unreadable != "":
		return b, b.unreadable()
	}
	return b, nil
}

func (b Snapshot) unreadable() error {
	if btrfs.IsDamage(b.WhyNot) {
		return failf(ErrDamaged, "%s is damaged, nothing in it can be read: %w", b.Name, b.WhyNot)
	}
	return fmt.Errorf("%s can not be opened: %w", b.Name, b.WhyNot)
}

// setAside puts a backup to those that can not be opened.
func (st *state) setAside(b Snapshot, why error) {
	st.backups = slices.DeleteFunc(st.backups, func(other Snapshot) bool { return other.ID == b.ID })
	b.WhyNot, b.Unreadable = why, why.Error()
	st.broken = append(st.broken, b)
	slices.SortFunc(st.broken, byAge)
}

// warnOfBroken tells the log of what is left out of everything that follows.
func (st *state) warnOfBroken(log *slog.Logger) {
	for _, b := range st.broken {
		log.Warn("a backup can not be opened, and is left alone", "backup", b.Name, "error", b.WhyNot)
	}
}

// brokenSince tells whether a backup that can not be opened is younger than b,
// which may be nil.
func (st *state) brokenSince(b *Snapshot) bool {
	n := len(st.broken)
	return n > 0 && (b == nil || st.broken[n-1].ID > b.ID)
}

// newest returns the last backup made of those that can be opened, or nil.
func (st *state) newest() *Snapshot {
	if len(st.backups) == 0 {
		return nil
	}
	return &st.backups[len(st.backups)-1]
}

// guessing tells whether a record that can not be read, or a backup that the
// caller may not open, keeps us from knowing which backup is the newest complete
// one.
func (st *state) guessing() bool {
	newest := st.newestComplete()
	for _, b := range st.all() {
		if (b.RecordError != "" || errors.Is(b.WhyNot, fs.ErrPermission)) && (newest == nil || b.ID > newest.ID) {
			return true
		}
	}
	return false
}

// newestComplete returns the last backup that holds everything, or nil.
func (st *state) newestComplete() *Snapshot { return newestComplete(st.backups) }

func newestComplete(backups []Snapshot) *Snapshot {
	for i := len(backups) - 1; i >= 0; i-- {
		if backups[i].Status == Complete {
			return &backups[i]
		}
	}
	return nil
}

// readState reads DEST as it is. It takes no lock: a backup deleted while it
// looks is simply not there.
func (s *store) readState(loc *time.Location) (*state, error) {
	names, err := readNames(s.dir)
	if err != nil {
		return nil, err
	}
	records, err := s.openRecords(false)
	if err != nil {
		return nil, err
	}
	if records != nil {
		defer records.Close()
	}
	s.findPending()
	st := &state{instance: readInstance(s.dir), recordRead: map[string]stamp{}}
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
	slices.Sort(st.foreign)
	slices.Sort(st.hidden)
	have := make(map[string]bool, len(st.backups)+len(st.hidden))
	for _, name := range st.hidden {
		have[name] = true
	}
	for i := range st.backups {
		b := &st.backups[i]
		have[b.Name] = true
		b.Current = st.cur == symlink && st.curLink == b.Name
	}
	st.setApart()
	if st.orphans, err = orphanRecords(records, have); err != nil {
		return nil, err
	}
	log, err := statAt(s.log, ".")
	st.logMode = log.Mode & 0o7777
	return st, err
}

// setApart puts the backups in order, and those that can not be opened aside.
func (st *state) setApart() {
	slices.SortFunc(st.backups, byAge)
	distrustUnrecorded(st.backups)
	all := st.backups
	st.backups = nil
	for _, b := range all {
		if b.Unreadable != "" {
			st.broken = append(st.broken, b)
		} else {
			st.backups = append(st.backups, b)
		}
	}
}

// noRun is told of a subvolume that somebody else put into DEST.
const noRun = "no run of rsbtbackup is recorded, as it is for an older backup: somebody else made it, or its record was removed"

// distrustUnrecorded sees to it that nothing is deleted for the sake of a
// subvolume that merely is called like a backup. Every backup of ours is
// recorded before it is there, so those without are older than any that has
// one: they were made by a predecessor. backups are in order. What pin and
// verify write down tells nothing of a run.
func distrustUnrecorded(backups []Snapshot) {
	recorded := false
	for i := range backups {
		b := &backups[i]
		ours := b.Record != nil && !b.Record.Started.IsZero()
		recorded = recorded || ours
		if recorded && !ours && b.RecordError == "" {
			b.Status, b.RecordError = Incomplete, noRun
		}
	}
}

// readOurs reads name if it is one that we give to anything but a backup.
func (s *store) readOurs(st *state, name string, loc *time.Location) (ours bool, err error) {
	if original, ok := strings.CutPrefix(name, trashPrefix); ok {
		if _, ok := parseName(original, loc); ok {
			return true, s.readTrash(st, name)
		}
	}
	switch name {
	case logDirName, rsyncbtrfsMarker:
	case curName:
		st.cur, st.curLink, err = s.readLink(name)
	case curNextName:
		st.curNext, _, err = s.readLink(name)
	case s.pendingName():
		st.pending, err = s.readPending()
	case pendingName:
		st.lostPending = true
	default:
		return false, nil
	}
	return true, err
}

// readBackups sorts names into backups and what is foreign. Half of the time
// goes into system calls and half into records, so with many backups the
// processors share the work.
func (s *store) readBackups(st *state, records *os.File, names []string, loc *time.Location) error {
	const share = 200
	workers := min(runtime.GOMAXPROCS(0), 1+len(names)/share)
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
			st.backups = append(st.backups, b.Snapshot)
			st.recordRead[b.Name] = b.recordRead
			continue
		}
		st.foreign = append(st.foreign, names[i])
		if hidden[i] {
			st.hidden = append(st.hidden, names[i])
		}
	}
	return errors.Join(errs...)
}

// readTrash takes nothing but a subvolume for a backup on its way out.
func (s *store) readTrash(st *state, name string) error {
	info, err := s.subvolumeAt(name)
	if isUnopened(err) {
		info, err = s.subvolumeNamed(name)
	}
	switch {
	case err != nil && !errors.Is(err, btrfs.ErrMountPoint):
		return err
	case info == nil:
		st.foreign = append(st.foreign, name)
	default:
		st.trash = append(st.trash, name)
	}
	return nil
}

// readLink tells what stands under name and, of a symlink, its target.
func (s *store) readLink(name string) (entryKind, string, error) {
	target, err := readlinkAt(s.dir, name)
	if err == nil {
		return symlink, target, nil
	}
	if btrfs.IsDamage(err) {
		return unreadable, "", nil
	}
	if !errors.Is(err, unix.EINVAL) {
		return absent, "", ignoreNotExist(err)
	}
	stat, err := statAt(s.dir, name)
	switch {
	case btrfs.IsDamage(err):
		return unreadable, "", nil
	case err != nil:
		return absent, "", ignoreNotExist(err)
	case stat.Mode&unix.S_IFMT == unix.S_IFDIR:
		return directory, "", nil
	}
	return other, "", nil
}

func (s *store) pendingName() string { return cmp.Or(s.pendingAt, pendingName) }

// findPending settles what pending is called. One that is damaged can be neither
// removed nor renamed (Linux 6.18), and must not be in the way for ever.
func (s *store) findPending() {
	for n := 0; ; n++ {
		s.pendingAt = pendingName
		if n > 0 {
			s.pendingAt += spareInfix + strconv.Itoa(n)
		}
		if _, err := s.subvolumeAt(s.pendingAt); !btrfs.IsDamage(err) || n >= maxSpares {
			return
		}
	}
}

// maxSpares is more than a disk damages before somebody looks at it.
const maxSpares = 9

// readPending describes pending, whatever it is.
func (s *store) readPending() (p pendingState, err error) {
	if p.kind, _, err = s.readLink(s.pendingName()); err != nil || p.kind != directory {
		return p, err
	}
	info, err := s.subvolumeAt(s.pendingName())
	if info == nil {
		if errors.Is(err, btrfs.ErrMountPoint) || btrfs.IsDamage(err) {
			err = nil // a directory that can be neither removed nor renamed
		}
		return p, err
	}
	p.kind, p.uuid, p.parentUUID, p.readOnly = subvolume, info.UUID, info.ParentUUID, info.ReadOnly
	p.note = s.readWorkNote()
	return p, nil
}

// foundBackup is a backup and which state of its file its record is.
type foundBackup struct {
	Snapshot
	recordRead stamp
}

// readBackup returns nil for what is no backup: a foreign name, or something
// other than a subvolume under a backup's name.
func (s *store) readBackup(records *os.File, name string, loc *time.Location) (*foundBackup, error) {
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
	b := &foundBackup{Snapshot: Snapshot{Name: name, Time: t, ID: info.ID, UUID: info.UUID, ParentUUID: info.ParentUUID, Made: info.OTransID, Generation: max(info.OTransID, info.CTransID), Touched: info.CTransID > info.OTransID, ReadOnly: info.ReadOnly, Status: Complete, WhyNot: whyNot}}
	if whyNot != nil {
		b.Unreadable = whyNot.Error()
	}
	b.Record, b.recordRead, err = readStampedRecord(records, name)
	switch {
	case err != nil:
		b.Status, b.RecordError = Incomplete, err.Error()
	case b.Record != nil:
		b.Status, b.Added = b.Record.Status, b.Record.AddedBytes
		if !b.Record.Started.IsZero() {
			b.Time = b.Record.Started.In(loc).Truncate(time.Second)
		}
	}
	return b, nil
}

// subvolumeAt returns nil for anything that is not a subvolume, a symlink to
// one included. Where something is mounted, the error is btrfs.ErrMountPoint.
func (s *store) subvolumeAt(name string) (*btrfs.Info, error) {
	d, err := btrfs.OpenDirAt(s.dir, name)
	if isNoDir(err) {
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

// isUnopened: something goes by that name, and lets nobody, or not the caller, in.
func isUnopened(err error) bool { return isUnreadable(err) || errors.Is(err, unix.ESTALE) }

// subvolumeNamed is subvolumeAt for what can not be opened. It knows less for who
// is not root.
func (s *store) subvolumeNamed(name string) (*btrfs.Info, error) {
	info, err := btrfs.SubvolumeNamed(s.dir, name)
	if errors.Is(err, btrfs.ErrNotSubvolume) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// has tells whether b still is what has its name.
func (s *store) has(b Snapshot) (bool, error) {
	info, err := s.subvolumeAt(b.Name)
	if isUnopened(err) {
		info, err = s.subvolumeNamed(b.Name)
	}
	return err == nil && info != nil && info.ID == b.ID, err
}
