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
	// Frees is the file data, in bytes, that goes with this backup once the older ones that are to be removed are gone.
	// It is nil where it is not known: for what is kept, without root, with a backup hidden by a mount, and outside a
	// dry run.
	Frees *uint64 `json:"frees,omitempty"`
}

// Status tells whether a backup holds everything its source had.
type Status string

const (
	// Complete: rsync read everything (exit 0, or 24: files vanished).
	Complete Status = "complete"
	// Incomplete: rsync could not read everything (exit 23).
	Incomplete Status = "incomplete"
)

// Record is what is kept about one backup. It is written, durably, before the backup is published, so an incomplete
// backup can never be taken for a complete one. Backups made by RsbtBackup or rsyncbtrfs have none.
type Record struct {
	Version int    `json:"version"` // of this format: 1
	Name    string `json:"name"`
	Status  Status `json:"status"`

	Source      string          `json:"source,omitempty"`       // as the user gave it, local paths absolute
	SourceBytes []byte          `json:"source_bytes,omitempty"` // the same, where JSON cannot hold it
	SourceFS    *SourceIdentity `json:"source_fs,omitempty"`    // local sources only
	Mounts      []SourceMount   `json:"mounts,omitzero"`        // below a local source, as far as the backup goes there; nil if nobody looked
	LeftOut     []string        `json:"left_out,omitempty"`     // what holds data of these, where the backup stays on one filesystem: paths relative to SRC, quoted where JSON cannot hold them
	Host        string          `json:"host,omitempty"`         // the machine that ran rsbtbackup
	Started     time.Time       `json:"started,omitzero"`       // UTC
	Ended       time.Time       `json:"ended,omitzero"`         // UTC, when the transfer had ended
	SnapshotAt  time.Time       `json:"snapshot_at,omitzero"`   // UTC, when a snapshot of the source was made, which was backed up
	Base        string          `json:"base,omitempty"`         // the backup it is incremental on
	Rules       []string        `json:"rules,omitempty"`        // that may have left something out, as options
	Resumed     bool            `json:"resumed,omitempty"`

	RsbtbackupVersion string           `json:"rsbtbackup_version,omitempty"`
	RsyncVersion      string           `json:"rsync_version,omitempty"`
	RsyncExit         int              `json:"rsync_exit"`
	Stats             *rsyncexec.Stats `json:"stats,omitempty"`
	AddedBytes        *uint64          `json:"added_bytes,omitempty"` // file data on disk not shared with earlier backups
	Notices           []string         `json:"notices,omitempty"`
	Scan              *Scan            `json:"scan,omitempty"` // how what had changed was found

	// Unchanged says when a later run found nothing new, and so published nothing.
	Unchanged *UnchangedInfo `json:"unchanged,omitempty"`
	Pin       *PinInfo       `json:"pin,omitempty"`
	Verified  *Verification  `json:"verified,omitempty"`
	Copied    *CopyInfo      `json:"copied,omitempty"`
}

// UnchangedInfo says until when a source was what a backup holds.
type UnchangedInfo struct {
	At   time.Time `json:"at"`   // UTC, when the last run that found this was begun
	Runs int       `json:"runs"` // how many have found it
}

// CopyInfo says where a backup was copied from, and when.
type CopyInfo struct {
	Host string     `json:"host,omitempty"` // the machine it was on
	Dest string     `json:"dest,omitempty"` // the backup directory there
	UUID btrfs.UUID `json:"uuid"`           // of its subvolume, the first one of all copies
	At   time.Time  `json:"at"`             // UTC
	// Verified is what Verify had found over there. It says nothing of this disk.
	Verified *Verification `json:"verified,omitempty"`
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

// Scan says how a run found out what had changed in its source.
type Scan struct {
	// Mode is ScanFull, ScanWalk or ScanGeneration.
	Mode string `json:"mode"`
	// Why everything was compared, in a full run.
	Why string `json:"why,omitempty"`
	// Looked is how many entries the walk saw, Listed how many of them rsync was asked about; 0 if nobody walked.
	Looked  int     `json:"looked"`
	Listed  int     `json:"listed"`
	Renamed int     `json:"renamed,omitempty"` // how many directories and files had moved, and were moved in the backup
	Seconds float64 `json:"seconds"`           // that the walk took
	// Catalog is the checksum (SHA-256, hexadecimal) of what is known of the source since, for the next run; empty if
	// nothing is.
	Catalog string `json:"catalog,omitempty"`
	// LastFull is when everything was compared last (UTC), SinceFull how many runs ago.
	LastFull  time.Time `json:"last_full,omitzero"`
	SinceFull int       `json:"since_full"`
	// Missed is how many changes a full run found that a walk, or btrfs, had not.
	Missed int `json:"missed,omitempty"`
	// Generations are what the next run asks a btrfs source by; nil where nobody can.
	Generations *Generations `json:"generations,omitempty"`
}

// Generations are those of the subvolumes of a source when it was walked. What changes later has a higher one.
type Generations struct {
	// Life names the time from the mount of the filesystem to its unmount, and what is mounted below SRC. In another
	// life they say nothing: the filesystem may have been put back meanwhile, and have counted on from there.
	Life       string      `json:"life"`
	Subvolumes []Subvolume `json:"subvolumes"`
	// Apart is how many directories are on other filesystems, or not gone into, and looked at in each run.
	Apart int `json:"apart,omitempty"`
}

// Subvolume is one of them.
type Subvolume struct {
	ID         string `json:"id"`   // of it and of its filesystem
	Path       string `json:"path"` // relative to SRC, of it or of a directory in it; quoted, so that JSON holds every byte
	Generation uint64 `json:"generation"`
}

// The values of Scan.Mode.
const (
	ScanFull = "full" // rsync compared everything
	ScanWalk = "walk" // a walk of the source found what rsync was asked about
	// ScanGeneration: btrfs told what is newer than the last run, and a walk of that alone found what rsync was asked
	// about.
	ScanGeneration = "generation"
)

// PinInfo says since when a backup is protected from every prune, and why.
type PinInfo struct {
	At   time.Time `json:"at"` // UTC
	Note string    `json:"note,omitempty"`
}

// SourceIdentity tells one filesystem from another, so that the empty mount point left by an unmounted disk is noticed,
// and one directory from another that stands at the same path.
type SourceIdentity struct {
	FSType int64  `json:"fs_type"`          // statfs f_type
	FSID   string `json:"fsid"`             // statfs f_fsid; empty where the kernel makes up a new one at each mount
	UUID   string `json:"uuid,omitempty"`   // of the filesystem, in hexadecimal, where it has one
	Source string `json:"source,omitempty"` // type and source of the mount: "nfs4 host:/export"
	// Subvolume is the UUID of the btrfs subvolume SRC is in, Parent that of the one it is a snapshot of.
	Subvolume string `json:"subvolume,omitempty"`
	Parent    string `json:"parent,omitempty"`
	Inode     uint64 `json:"inode,omitempty"` // of SRC, where the filesystem keeps it; 256 for the top of every btrfs snapshot
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
	// Time is when it was begun, in local time: what is on record, which names from another time zone do not tell, or
	// else what the name says.
	Time time.Time `json:"time"`
	// ID is the btrfs subvolume id. It only grows, so it gives the order in which backups were made whatever clocks and
	// time zones did, unless they were received or copied: then it is that of the recorded times.
	ID         uint64     `json:"id"`
	UUID       btrfs.UUID `json:"uuid"`
	ParentUUID btrfs.UUID `json:"parent_uuid"`
	Made       uint64     `json:"-"` // btrfs generation it was made in: nothing in it was younger then
	Generation uint64     `json:"-"` // of the last change inside; that of its root also moves when somebody makes a snapshot of it
	Touched    bool       `json:"-"` // something in it changed after it was made: by hand, or by deduplication
	Received   bool       `json:"-"` // by btrfs receive: the id says when that was
	Order      int        `json:"-"` // place among all backups of DEST, the oldest first
	ReadOnly   bool       `json:"read_only"`
	Status     Status     `json:"status"`
	Current    bool       `json:"current"` // cur names it
	Record     *Record    `json:"record,omitempty"`
	// RecordError says why the record could not be read. Such a backup counts as incomplete and as pinned: nothing is
	// deleted on a guess.
	RecordError string `json:"record_error,omitempty"`
	// Unreadable says why it cannot be opened: its root directory is damaged, or is not for the caller. Nothing else
	// depends on such a backup: it is no base, and no prune counts or deletes it.
	Unreadable string `json:"unreadable,omitempty"`
	WhyNot     error  `json:"-"` // the same
	// Exclusive is the file data on disk, in bytes, that would go if this backup alone were deleted. ListSizes fills it
	// in.
	Exclusive *uint64 `json:"exclusive_bytes,omitempty"`
	// Added is the file data on disk, in bytes, that the backups before it do not share: from the record, or measured
	// by ListSizes.
	Added *uint64 `json:"added_bytes,omitempty"`
}

// AsOf is when the source was last known to be what the backup holds: when it was begun, or when a later run that found
// nothing new was.
func (b Snapshot) AsOf() time.Time {
	if b.Record != nil && b.Record.Unchanged != nil && b.Record.Unchanged.At.After(b.Time) {
		return b.Record.Unchanged.At.In(b.Time.Location())
	}
	return b.Time
}

// Pinned tells whether every prune must leave the backup alone.
func (b Snapshot) Pinned() bool {
	return b.RecordError != "" || b.Record != nil && b.Record.Pin != nil
}
