// Verify and VerifyAgainst: whether a backup can be read, and equals its source.

package rsbtbackup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/replica"
	"github.com/rsbtbackup/rsbtbackup/internal/verify"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// VerifyOptions are the options of Verify. The zero value reads everything.
type VerifyOptions struct {
	// Backup is the one to read, as in Delete; "" means all of them. If root reads all, data that several backups share
	// is read once, in the oldest that has it. Only root may ask the kernel what they share.
	Backup string
	// NewOnly skips what a backup shares with the newest older backup that was verified clean. Without Backup it reads
	// all backups newer than the newest clean one. Without root it has no effect: everything is read.
	NewOnly bool
	// Jobs is the number of parallel reads; 0 means 4. With a single spinning disk 1 may be faster.
	Jobs   int
	Now    time.Time    // zero means now
	Logger *slog.Logger // nil logs nothing
	// Progress and Found are called from several goroutines, one at a time.
	Progress func(VerifyProgress)
	Found    func(Damage) // each damage as it is found
}

// VerifyReport says what Verify read and found.
type VerifyReport struct {
	Dest    string           `json:"dest"`
	Backups []VerifiedBackup `json:"backups"` // in the order they were read, oldest first
	Files   int64            `json:"files"`   // read; a file with several names counts once
	Bytes   int64            `json:"bytes"`   // read; holes do not count
	// Damaged is how many files and directories are damaged, each counted once, in the oldest backup in which it was
	// found. Damages has the first 1,000.
	Damaged int      `json:"damaged"`
	Damages []Damage `json:"damages"`
	// Unread is how many could not be read for other reasons. Unreads says why for the first 100.
	Unread  int      `json:"unread"`
	Unreads []string `json:"unreads,omitempty"`
	// NotVerified is how many files have data without checksums, because of nodatacow. NotVerifiedFiles has the first
	// 100.
	NotVerified      int           `json:"not_verified"`
	NotVerifiedFiles []DamagedFile `json:"not_verified_files,omitempty"`
	// DeviceErrors is how many errors the devices counted meanwhile. If nothing is damaged, they were repaired from a
	// second copy.
	DeviceErrors uint64    `json:"device_errors"`
	Notices      []string  `json:"notices,omitempty"`
	Started      time.Time `json:"started"` // UTC
	Ended        time.Time `json:"ended"`   // UTC
}

// Verify reads backups from the disk, bypassing the page cache, and reports every file that does not match its
// checksums: btrfs has a checksum for each block and returns EIO for a block that does not match. Directories and
// inodes are read too, but not those that the kernel already has in memory. Data written with nodatacow has no
// checksum: it is read, but not verified. Where the filesystem keeps two copies (RAID1, DUP) one good copy is enough.
//
// The result is stored in the record of each backup, if DEST is writable. Nothing else is changed, no lock is taken and
// a running backup is not disturbed. The caller needs the rights to read the files. The list of other backups that
// share the damage is complete only for root.
//
// Errors match ErrDamaged, ErrUnread, ErrNotVerified (possibly several of them), ErrNoBackup, ErrAmbiguous,
// ErrBackupGone, or those of List. The report is valid with any error.
func Verify(ctx context.Context, dest string, o VerifyOptions) (*VerifyReport, error) {
	r, err := verify.Run(ctx, dest, verify.Options(o))
	return (*VerifyReport)(r), err
}

// AgainstOptions are the options of VerifyAgainst. What Backup left out must be left out here too.
type AgainstOptions struct {
	Backup string // as in Delete; "" is the newest one
	// Source is what to compare with, as in BackupOptions.
	Source string

	OneFileSystem                bool     // as in BackupOptions
	Filter, Exclude, ExcludeFrom []string // as in BackupOptions
	ExcludeCaches                bool     // as in BackupOptions
	ExcludeIfPresent             []string // as in BackupOptions

	Rsh          string                   // as rsync's --rsh
	Timeout      time.Duration            // without any transfer; 0 means no limit
	RsyncProgram string                   // empty looks it up in PATH
	Logger       *slog.Logger             // nil logs nothing
	Progress     func(rsyncexec.Progress) // called while rsync compares
	// Found is called for each difference: what rsync would do to the backup to make it equal to the source.
	// "*deleting" marks what only the backup has.
	Found func(rsyncexec.Change)
}

// AgainstReport says what VerifyAgainst compared.
type AgainstReport struct {
	Dest   string `json:"dest"`
	Backup string `json:"backup"`
	Source string `json:"source"`
	// Differences is how many entries differ. Changes has the first 1,000.
	Differences int              `json:"differences"`
	Changes     []AgainstChange  `json:"changes"`
	RsyncExit   int              `json:"rsync_exit"`
	Stats       *rsyncexec.Stats `json:"stats,omitempty"`
	Complaints  []string         `json:"complaints,omitempty"`
	Damaged     int              `json:"damaged"` // as in VerifyReport
	Started     time.Time        `json:"started"` // UTC
	Ended       time.Time        `json:"ended"`   // UTC
}

// VerifyAgainst compares a backup with a source, file by file: contents by checksum, and every attribute a backup
// keeps. rsync compares, and nothing is changed on either side. Then the backup is read once more, as Verify does and
// with the result stored, because rsync substitutes zeros for blocks it cannot read. Changes in the source since the
// backup are differences, too.
//
// Errors match ErrDiffers, ErrDamaged, ErrUnread, ErrNoBackup, ErrAmbiguous, ErrSource, ErrUsage, or those of List; a
// file that rsync could not read is an error too. The report is valid with any error.
func VerifyAgainst(ctx context.Context, dest string, o AgainstOptions) (*AgainstReport, error) {
	r, err := verify.Against(ctx, dest, verify.AgainstOptions(o))
	return (*AgainstReport)(r), err
}

// Nouns of comparisons with copies.
//
// Their fields: go doc rsbtbackup/facts.Comparison, go doc rsbtbackup/facts.CopyVerdict,
// go doc rsbtbackup/facts.ComparedBackup, go doc rsbtbackup/facts.CopyDifference.
type (
	Comparison     = facts.Comparison
	CopyVerdict    = facts.CopyVerdict
	ComparedBackup = facts.ComparedBackup
	CopyDifference = facts.CopyDifference
)

// The results of ComparedBackup.
const (
	SameCopy    = facts.SameCopy
	CopyDiffers = facts.CopyDiffers
	CopyUnread  = facts.CopyUnread
	NoCopy      = facts.NoCopy
)

// AgainstCopyOptions are the options of VerifyAgainstCopy. The zero value is usable.
type AgainstCopyOptions struct {
	SSH      []string             // as in CopyOptions
	Program  string               // as in CopyOptions
	Now      time.Time            // zero means now
	Logger   *slog.Logger         // nil logs nothing
	Progress func(VerifyProgress) // called from several goroutines, one at a time; bytes are those that were read
	Found    func(CopyDifference) // likewise
}

// AgainstCopyReport says what VerifyAgainstCopy compared.
type AgainstCopyReport struct {
	Dest    string           `json:"dest"`
	Target  string           `json:"target"`
	Backups []ComparedBackup `json:"backups"` // oldest first
	// Differences is how many paths differ. Found has the first 1,000.
	Differences int              `json:"differences"`
	Found       []CopyDifference `json:"found"`
	Unread      int              `json:"unread"` // what could not be read, on either side
	Unreads     []string         `json:"unreads,omitempty"`
	Notices     []string         `json:"notices,omitempty"`
	Started     time.Time        `json:"started"` // UTC
	Ended       time.Time        `json:"ended"`   // UTC
}

// VerifyAgainstCopy compares backups, those that refs name as in Delete, or all, with
// their copies in target: another DEST on this host, or HOST:PATH, as in Copy. Content is
// compared by the checksums that both filesystems keep of it, without reading it, where
// they are of one kind and of data that is stored in the same way; of the rest both are
// read. So it says that the same was written, and Verify that the disk still has it.
// Names, modes, owners, times, extended attributes, ACLs, flags of chattr, holes and
// hard links are compared as well.
//
// The other host is told what the backup has, and tells what is not so there. Of what
// only the copy has in a directory, it gives no names.
//
// The result is kept as Record.Compared in dest. A backup without a copy is an error if
// it was named, or if none has one: the rules of target may be others.
//
// Root only. Errors match ErrDiffers, ErrUnread, ErrNoBackup, ErrAmbiguous,
// ErrBackupGone, ErrTarget (the host cannot be reached), or what opening dest or target
// gives. The report is valid with any error.
func VerifyAgainstCopy(ctx context.Context, dest, target string, refs []string, o AgainstCopyOptions) (*AgainstCopyReport, error) {
	r, err := replica.Compare(ctx, dest, target, refs, replica.CompareOptions(o))
	return (*AgainstCopyReport)(r), err
}
