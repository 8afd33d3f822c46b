package facts

import (
	"time"
	"unicode/utf8"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Decision is what happens to one backup, and why.
type Decision struct {
	Snapshot
	Keep    bool     `json:"keep"`
	Reasons []string `json:"reasons"`
	// Frees is the file data, in bytes, that deleting this backup frees once the older ones to be deleted are gone. It
	// is nil if unknown: for a backup that is kept, without root, while a mount hides a backup, and outside a dry run.
	Frees *uint64 `json:"frees,omitempty"`
}

// Status says whether a backup holds everything its source had.
type Status string

const (
	// Complete: rsync read everything (exit 0, or 24: files vanished).
	Complete Status = "complete"
	// Incomplete: rsync could not read everything (exit 23).
	Incomplete Status = "incomplete"
)

// Record is what is stored about one backup. It is written durably before the backup is published, so an incomplete
// backup is never mistaken for a complete one. Backups made by RsbtBackup or rsyncbtrfs have none.
type Record struct {
	Version int    `json:"version"` // of this format: 1
	Name    string `json:"name"`
	Status  Status `json:"status"`

	Source      string          `json:"source,omitempty"`       // as the user gave it, local paths absolute
	SourceBytes []byte          `json:"source_bytes,omitempty"` // the same, where JSON cannot hold it
	SourceFS    *SourceIdentity `json:"source_fs,omitempty"`    // local sources only
	Mounts      []SourceMount   `json:"mounts,omitzero"`        // below a local source, as far as the backup includes them; nil if not looked for
	LeftOut     []string        `json:"left_out,omitempty"`     // mount points and subvolumes that hold data and were left out by OneFileSystem: paths relative to SRC, quoted where JSON cannot hold them
	Host        string          `json:"host,omitempty"`         // the machine that ran rsbtbackup
	Started     time.Time       `json:"started,omitzero"`       // UTC
	Ended       time.Time       `json:"ended,omitzero"`         // UTC, when the transfer had ended
	SnapshotAt  time.Time       `json:"snapshot_at,omitzero"`   // UTC, when the snapshot of the source that was backed up was made
	Base        string          `json:"base,omitempty"`         // the backup it is incremental on
	Rules       []string        `json:"rules,omitempty"`        // options that may have left something out
	Resumed     bool            `json:"resumed,omitempty"`
	Pending     string          `json:"pending,omitempty"` // UUID of the subvolume that it was made from, as a snapshot

	RsbtbackupVersion string           `json:"rsbtbackup_version,omitempty"`
	RsyncVersion      string           `json:"rsync_version,omitempty"`
	RsyncExit         int              `json:"rsync_exit"`
	Stats             *rsyncexec.Stats `json:"stats,omitempty"`
	AddedBytes        *uint64          `json:"added_bytes,omitempty"` // file data on disk not shared with earlier backups
	Notices           []string         `json:"notices,omitempty"`
	Scan              *Scan            `json:"scan,omitempty"` // how changes were found

	// Unchanged says when a later run found nothing new, and so published nothing.
	Unchanged *UnchangedInfo `json:"unchanged,omitempty"`
	Pin       *PinInfo       `json:"pin,omitempty"`
	Verified  *Verification  `json:"verified,omitempty"`
	Copied    *CopyInfo      `json:"copied,omitempty"`
	Compared  *Comparison    `json:"compared,omitempty"` // with a copy of it, the last time
}

// UnchangedInfo says until when a source was known to equal a backup.
type UnchangedInfo struct {
	At   time.Time `json:"at"`   // UTC, when the last run that found nothing new began
	Runs int       `json:"runs"` // how many runs have found nothing new
}

// CopyInfo says from where and when a backup was copied.
type CopyInfo struct {
	Host string     `json:"host,omitempty"` // the machine it was on
	Dest string     `json:"dest,omitempty"` // the backup directory there
	UUID btrfs.UUID `json:"uuid"`           // of the subvolume that all copies descend from
	At   time.Time  `json:"at"`             // UTC
	// Verified is what Verify had found in the original. It says nothing about this disk.
	Verified *Verification `json:"verified,omitempty"`
	// PinnedAt is when the pin was set over there that came along last (UTC). It does not come
	// again once it has been removed here.
	PinnedAt time.Time `json:"pinned_at,omitzero"`
}

// SourceName is Source, byte for byte.
func (r *Record) SourceName() string {
	if r.SourceBytes != nil {
		return string(r.SourceBytes)
	}
	return r.Source
}

// InvalidUTF8 returns s as bytes if JSON would alter it.
func InvalidUTF8(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

// Scan says how a run found the changes in its source.
type Scan struct {
	// Mode is ScanFull, ScanWalk or ScanGeneration.
	Mode string `json:"mode"`
	// Why everything was compared, in a full run.
	Why string `json:"why,omitempty"`
	// Looked is how many entries the walk saw, Listed how many of them rsync was given; 0 without a walk.
	Looked  int     `json:"looked"`
	Listed  int     `json:"listed"`
	Renamed int     `json:"renamed,omitempty"` // how many directories and files were renamed in the backup like at the source
	Seconds float64 `json:"seconds"`           // duration of the walk
	// Patched is how many large files had only what was new in them read and written, PatchedSize and PatchedRead their
	// size and how much was read, in bytes.
	Patched     int   `json:"patched,omitempty"`
	PatchedSize int64 `json:"patched_size,omitempty"`
	PatchedRead int64 `json:"patched_read,omitempty"`
	// Catalog is the checksum (SHA-256, hexadecimal) of the catalog of the source that the next run compares with;
	// empty if there is none.
	Catalog string `json:"catalog,omitempty"`
	// LastFull is when everything was compared last (UTC), SinceFull how many runs ago.
	LastFull  time.Time `json:"last_full,omitzero"`
	SinceFull int       `json:"since_full"`
	// Missed is how many changes a full run found that the walk, or btrfs, had missed.
	Missed int `json:"missed,omitempty"`
	// Generations are those from which the next run asks btrfs for changes; nil if it cannot be asked.
	Generations *Generations `json:"generations,omitempty"`
}

// Generations are those of the subvolumes of a source at the time of the walk. Later changes have higher ones.
type Generations struct {
	// Life identifies the time from the mount of the filesystem to its unmount, and the mounts below SRC. Generations
	// are comparable only within one life: meanwhile the filesystem may have been restored from an image, and have
	// counted on from there. It is empty for an ordinary user, who knows no generations but finds subvolumes.
	Life       string      `json:"life"`
	Subvolumes []Subvolume `json:"subvolumes"`
	// Apart is how many directories are on other filesystems, or are not entered; each run looks at them.
	Apart int `json:"apart,omitempty"`
}

// Subvolume is one subvolume of a source.
type Subvolume struct {
	ID         string `json:"id"`   // UUIDs of the subvolume and of its filesystem
	Path       string `json:"path"` // relative to SRC, of it or of a directory in it; quoted, so that JSON holds every byte
	Generation uint64 `json:"generation"`
}

// The values of Scan.Mode.
const (
	ScanFull = "full" // rsync compared everything
	ScanWalk = "walk" // a walk of the source found the changes, and rsync was given only these
	// ScanGeneration: btrfs listed what is newer than the last run, and only that was walked.
	ScanGeneration = "generation"
)

// PinInfo says since when a backup is protected from every prune, and why.
type PinInfo struct {
	At   time.Time `json:"at"` // UTC
	Note string    `json:"note,omitempty"`
}

// SourceIdentity identifies the filesystem and the directory of a source, so that an empty mount point of an unmounted
// disk, or another directory at the same path, is noticed.
type SourceIdentity struct {
	FSType int64  `json:"fs_type"`          // statfs f_type
	FSID   string `json:"fsid"`             // statfs f_fsid; empty where the kernel makes a new one at each mount
	UUID   string `json:"uuid,omitempty"`   // of the filesystem, in hexadecimal, where it has one
	Source string `json:"source,omitempty"` // type and source of the mount: "nfs4 host:/export"
	// Instance identifies the mount where nothing identifies the filesystem: its content may be other at the next
	// mount.
	Instance string `json:"instance,omitempty"`
	// Subvolume is the UUID of the btrfs subvolume SRC is in, Parent that of the one it is a snapshot of.
	Subvolume string `json:"subvolume,omitempty"`
	Parent    string `json:"parent,omitempty"`
	Inode     uint64 `json:"inode,omitempty"` // of SRC, where inode numbers are persistent; 256 for the root of every btrfs subvolume
}

// SourceMount is a filesystem that was mounted below SRC when a backup was made.
type SourceMount struct {
	Path      string `json:"path"`                 // relative to SRC
	PathBytes []byte `json:"path_bytes,omitempty"` // the same, where JSON cannot hold it
	SourceIdentity
}

// Rel is Path, byte for byte.
func (m SourceMount) Rel() string {
	if m.PathBytes != nil {
		return string(m.PathBytes)
	}
	return m.Path
}

// Snapshot is one finished backup.
type Snapshot struct {
	Name string `json:"name"`
	// Time is when the backup began, in local time: from its record, because names may come from another time zone, or
	// else from its name.
	Time time.Time `json:"time"`
	// ID is the btrfs subvolume id. It only grows, so it gives the order in which backups were made, even if the clock
	// or the time zone changed. Backups that were received or copied are ordered by their recorded times.
	ID         uint64     `json:"id"`
	UUID       btrfs.UUID `json:"uuid"`
	ParentUUID btrfs.UUID `json:"parent_uuid"`
	Made       uint64     `json:"-"` // btrfs generation in which it was made: nothing in it was newer then
	Generation uint64     `json:"-"` // of the last change inside; the generation of the root also moves when a snapshot of it is made
	Touched    bool       `json:"-"` // something in it changed after it was made: by hand, or by deduplication
	Received   bool       `json:"-"` // by btrfs receive: the id says when that was
	Order      int        `json:"-"` // place among all backups of DEST, the oldest first
	ReadOnly   bool       `json:"read_only"`
	Status     Status     `json:"status"`
	Current    bool       `json:"current"` // cur names it
	Record     *Record    `json:"record,omitempty"`
	// RecordError says why the record could not be read. Such a backup counts as incomplete and as pinned, so that no
	// prune deletes it.
	RecordError string `json:"record_error,omitempty"`
	// Unreadable says why the backup cannot be opened: its root directory is damaged, or the caller lacks the rights.
	// Such a backup is not used as a base, and no prune counts or deletes it.
	Unreadable string `json:"unreadable,omitempty"`
	WhyNot     error  `json:"-"` // the same
	// Exclusive is the file data on disk, in bytes, that deleting only this backup would free. ListSizes fills it in.
	Exclusive *uint64 `json:"exclusive_bytes,omitempty"`
	// Added is the file data on disk, in bytes, that the backups before it do not share: from the record, or measured
	// by ListSizes.
	Added *uint64 `json:"added_bytes,omitempty"`
}

// AsOf is when the source was last known to equal the backup: when the backup began, or a later run that found nothing
// new.
func (b Snapshot) AsOf() time.Time {
	if b.Record != nil && b.Record.Unchanged != nil && b.Record.Unchanged.At.After(b.Time) {
		return b.Record.Unchanged.At.In(b.Time.Location())
	}
	return b.Time
}

// Pinned reports whether no prune may delete the backup.
func (b Snapshot) Pinned() bool {
	return b.RecordError != "" || b.Record != nil && b.Record.Pin != nil
}
