// The nouns of the library. They are declared in package facts, since several verbs speak of them; go doc shows their
// fields there.

package rsbtbackup

import (
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/backup"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Decision is what happens to one backup, and why.
//
// Its fields: go doc rsbtbackup/facts.Decision
type Decision = facts.Decision

// Status tells whether a backup holds everything its source had.
//
// Its fields: go doc rsbtbackup/facts.Status
type Status = facts.Status

// Record is what is kept about one backup. It is written, durably, before the backup is published, so an incomplete
// backup can never be taken for a complete one. Backups made by RsbtBackup or rsyncbtrfs have none.
//
// Its fields: go doc rsbtbackup/facts.Record
type Record = facts.Record

// Scan says how a run found out what had changed in its source.
//
// Its fields: go doc rsbtbackup/facts.Scan
type Scan = facts.Scan

// The values of BackupOptions.Scan, and of Scan.Mode.
const (
	// ScanAuto walks a local source, where that tells what has changed, and lets rsync look at that alone. Of a btrfs
	// source root walks only what btrfs says is new. Every 10th run, and one more than 7 days after the last such one,
	// everything is compared, and the scan with it.
	ScanAuto = backup.ScanAuto
	// ScanFull lets rsync compare everything, and checks what a walk would have found.
	ScanFull = facts.ScanFull
	// ScanWalk is ScanAuto without the full runs in between, and without asking btrfs.
	ScanWalk = facts.ScanWalk
	// ScanGeneration is only told, of a run in which btrfs was asked.
	ScanGeneration = facts.ScanGeneration
)

// UnchangedInfo says until when a source was what a backup holds. Its fields: go doc rsbtbackup/facts.UnchangedInfo
type UnchangedInfo = facts.UnchangedInfo

// PinInfo says since when a backup is protected from every prune, and why.
//
// Its fields: go doc rsbtbackup/facts.PinInfo
type PinInfo = facts.PinInfo

// SourceIdentity tells one filesystem from another, so that the empty mount point left by an unmounted disk is noticed,
// and one directory from another that stands at the same path.
//
// Its fields: go doc rsbtbackup/facts.SourceIdentity
type SourceIdentity = facts.SourceIdentity

// SourceMount is a filesystem that was mounted below SRC when a backup was made.
//
// Its fields: go doc rsbtbackup/facts.SourceMount
type SourceMount = facts.SourceMount

// Snapshot is one finished backup.
//
// Its fields: go doc rsbtbackup/facts.Snapshot
type Snapshot = facts.Snapshot

// CheckLevel is how bad it is.
//
// Its fields: go doc rsbtbackup/facts.CheckLevel
type CheckLevel = facts.CheckLevel

// CheckResult is the answer to one question.
//
// Its fields: go doc rsbtbackup/facts.CheckResult
type CheckResult = facts.CheckResult

// DiffMethod is a way to find differences.
//
// Its fields: go doc rsbtbackup/facts.DiffMethod
type DiffMethod = facts.DiffMethod

// DiffKind is what became of a file.
//
// Its fields: go doc rsbtbackup/facts.DiffKind
type DiffKind = facts.DiffKind

// DiffChange is one thing that differs between two versions of a file.
//
// Its fields: go doc rsbtbackup/facts.DiffChange
type DiffChange = facts.DiffChange

// DiffEntry is one difference. Of a file with several names each that is concerned has an entry. What merely lies in a
// directory that was renamed has none; what was added, or removed, with its directory has.
//
// Its fields: go doc rsbtbackup/facts.DiffEntry
type DiffEntry = facts.DiffEntry

// Version is a path as it was in one or more backups in a row.
//
// Its fields: go doc rsbtbackup/facts.Version
type Version = facts.Version

// Permissions are the twelve lower bits of a mode: set-id, sticky and access.
//
// Its fields: go doc rsbtbackup/facts.Permissions
type Permissions = facts.Permissions

// Entry is one file, directory or other object in a backup.
//
// Its fields: go doc rsbtbackup/facts.Entry
type Entry = facts.Entry

// ReflinkStats counts what was copied by sharing its blocks.
//
// Its fields: go doc rsbtbackup/facts.ReflinkStats
type ReflinkStats = facts.ReflinkStats

// Overwrite says what a restore does with a file that is in the target already.
//
// Its fields: go doc rsbtbackup/facts.Overwrite
type Overwrite = facts.Overwrite

// MinFree is an amount of free space: bytes, or a share of the filesystem.
//
// Its fields: go doc rsbtbackup/facts.MinFree
type MinFree = facts.MinFree

// AgainstChange is a Change with names for JSON.
//
// Its fields: go doc rsbtbackup/facts.AgainstChange
type AgainstChange = facts.AgainstChange

// DamageKind tells what is damaged.
//
// Its fields: go doc rsbtbackup/facts.DamageKind
type DamageKind = facts.DamageKind

// Damage is a file or directory that cannot be read to its end.
//
// Its fields: go doc rsbtbackup/facts.Damage
type Damage = facts.Damage

// DamagedFile is a file in a backup.
//
// Its fields: go doc rsbtbackup/facts.DamagedFile
type DamagedFile = facts.DamagedFile

// VerifyProgress is how far Verify is.
//
// Its fields: go doc rsbtbackup/facts.VerifyProgress
type VerifyProgress = facts.VerifyProgress

// VerifyResult is what reading a backup led to.
//
// Its fields: go doc rsbtbackup/facts.VerifyResult
type VerifyResult = facts.VerifyResult

// Verification is the part of a record that says when Verify last read the backup, and what it found: Clean or Damaged.
//
// Its fields: go doc rsbtbackup/facts.Verification
type Verification = facts.Verification

// VerifiedBackup is one backup that was read.
//
// Its fields: go doc rsbtbackup/facts.VerifiedBackup
type VerifiedBackup = facts.VerifiedBackup

// DamagedRange is a part of a file that cannot be read.
//
// Its fields: go doc rsbtbackup/facts.DamagedRange
type DamagedRange = facts.DamagedRange

// Progress is how far the transfer is; see rsyncexec.Progress.
type Progress = rsyncexec.Progress

// Change is an entry of the target that a restore changes; see rsyncexec.Change.
type Change = rsyncexec.Change

// The values of these nouns; package facts says what each means.
const (
	Complete           = facts.Complete
	Incomplete         = facts.Incomplete
	CheckOK            = facts.CheckOK
	CheckWarn          = facts.CheckWarn
	CheckFail          = facts.CheckFail
	DiffAuto           = facts.DiffAuto
	DiffSend           = facts.DiffSend
	DiffWalk           = facts.DiffWalk
	DiffAdded          = facts.DiffAdded
	DiffRemoved        = facts.DiffRemoved
	DiffModified       = facts.DiffModified
	DiffRenamed        = facts.DiffRenamed
	DiffMetadata       = facts.DiffMetadata
	DiffUnread         = facts.DiffUnread
	ChangedType        = facts.ChangedType
	ChangedContent     = facts.ChangedContent
	ChangedMode        = facts.ChangedMode
	ChangedOwner       = facts.ChangedOwner
	ChangedMtime       = facts.ChangedMtime
	ChangedXattrs      = facts.ChangedXattrs
	OverwriteAlways    = facts.OverwriteAlways
	OverwriteIfChanged = facts.OverwriteIfChanged
	OverwriteIfNewer   = facts.OverwriteIfNewer
	OverwriteNever     = facts.OverwriteNever
	DataDamage         = facts.DataDamage
	MetadataDamage     = facts.MetadataDamage
	Clean              = facts.Clean
	Damaged            = facts.Damaged
	Unread             = facts.Unread
	NotVerified        = facts.NotVerified
)
