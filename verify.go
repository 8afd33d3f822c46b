// Verify and VerifyAgainst: whether a backup can be read, and is what its source is.

package rsbtbackup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/verify"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// VerifyOptions are the options of Verify. The zero value reads everything.
type VerifyOptions struct {
	// Backup is the one to read, as in Delete; "" means all of them. Of all, data that several share is read once, in
	// the oldest that has it: as root, that is, since the kernel tells nobody else what is new.
	Backup string
	// NewOnly leaves out what a backup shares with the newest older one that was verified and found clean. Without
	// Backup it reads all that are newer than the newest clean one. It needs root; without, everything is read.
	NewOnly bool
	// Jobs is how many reads go on at a time; 0 means 4. A single disk that spins may like 1 better.
	Jobs   int
	Now    time.Time // zero is the present
	Logger *slog.Logger
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
	// Damaged is how many files and directories are damaged, counting each once, in the oldest backup it was met in.
	// Damages has the first 1,000.
	Damaged int      `json:"damaged"`
	Damages []Damage `json:"damages"`
	// Unread is how many could not be read for other reasons. Unreads has what became of the first 100.
	Unread  int      `json:"unread"`
	Unreads []string `json:"unreads,omitempty"`
	// NotVerified is how many files have data without checksums, as of nodatacow, and NotVerifiedFiles the first 100 of
	// them.
	NotVerified      int           `json:"not_verified"`
	NotVerifiedFiles []DamagedFile `json:"not_verified_files,omitempty"`
	// DeviceErrors is how many errors the devices counted meanwhile. If nothing is damaged they were put right from a
	// second copy.
	DeviceErrors uint64    `json:"device_errors"`
	Notices      []string  `json:"notices,omitempty"`
	Started      time.Time `json:"started"` // UTC
	Ended        time.Time `json:"ended"`   // UTC
}

// Verify reads backups from the disk, around the page cache, and reports every file that the disk no longer gives back
// as it was written: btrfs keeps a checksum of each block and answers a bad one with EIO. Directories and inodes are
// read too, but those that the kernel has in memory already are not read anew. Data written with nodatacow has no
// checksum: it is read, but not verified. Where the filesystem keeps two copies (RAID1, DUP) one good copy is enough.
//
// What was found is kept in the record of each backup, if DEST can be written to. Nothing else is changed, no lock is
// taken and a running backup is not disturbed. Reading needs the rights that the modes of the files ask for; naming the
// backups that share the damage is complete for root alone.
//
// Errors match ErrDamaged, ErrUnread, ErrNotVerified (also several), ErrNoBackup, ErrAmbiguous, ErrBackupGone, or those
// of List. The report is valid with any error.
func Verify(ctx context.Context, dest string, o VerifyOptions) (*VerifyReport, error) {
	r, err := verify.Run(ctx, dest, verify.Options(o))
	return (*VerifyReport)(r), err
}

// AgainstOptions are the options of VerifyAgainst. What Backup was told to leave out has to be left out here, too.
type AgainstOptions struct {
	Backup string // as in Delete; "" is the newest one
	// Source is what to compare with, as in BackupOptions.
	Source        string
	OneFileSystem bool
	Filter        []string
	Exclude       []string
	ExcludeFrom   []string

	ExcludeCaches    bool
	ExcludeIfPresent []string

	Rsh          string
	Timeout      time.Duration
	RsyncProgram string
	Logger       *slog.Logger
	Progress     func(rsyncexec.Progress)
	// Found is called for each difference: what rsync would do to the backup to make it the same as the source.
	// "*deleting" is what only the backup has.
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
// keeps. It is rsync that compares, and nothing is changed on either side. Then the backup is read once more, as Verify
// does and with what that writes down, since rsync substitutes zeros for blocks it cannot read. What changed in the
// source since the backup shows as a difference, like anything else.
//
// Errors match ErrDiffers, ErrDamaged, ErrUnread, ErrNoBackup, ErrAmbiguous, ErrSource, ErrUsage, or those of List;
// what rsync could not read is an error as well. The report is valid with any error.
func VerifyAgainst(ctx context.Context, dest string, o AgainstOptions) (*AgainstReport, error) {
	r, err := verify.Against(ctx, dest, verify.AgainstOptions(o))
	return (*AgainstReport)(r), err
}
