// The nouns of the library. They are declared in package facts, because several verbs use them; go doc shows their
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

// Status says whether a backup holds everything its source had.
//
// Its fields: go doc rsbtbackup/facts.Status
type Status = facts.Status

// Record is what is stored about one backup. It is written durably before the backup is published, so an incomplete
// backup is never mistaken for a complete one. Backups made by RsbtBackup or rsyncbtrfs have none.
//
// Its fields: go doc rsbtbackup/facts.Record
type Record = facts.Record

// Scan says how a run found the changes in its source.
//
// Its fields: go doc rsbtbackup/facts.Scan
type Scan = facts.Scan

// The values of BackupOptions.Scan, and of Scan.Mode.
const (
	// ScanAuto walks a local source where that is reliable, and lets rsync look only at what has changed. If root backs
	// up a btrfs source, only what btrfs reports as new is walked. In every 10th run, and in the first run more than 7
	// days after the last one of these, rsync compares everything, and the result of the walk is checked against it.
	ScanAuto = backup.ScanAuto
	// ScanFull lets rsync compare everything, and checks the result of a walk against it.
	ScanFull = facts.ScanFull
	// ScanWalk is ScanAuto without the regular full runs, and without asking btrfs.
	ScanWalk = facts.ScanWalk
	// ScanGeneration appears only in reports: btrfs was asked what is new.
	ScanGeneration = facts.ScanGeneration
)

// UnchangedInfo says until when a source was known to equal a backup. Its fields: go doc rsbtbackup/facts.UnchangedInfo
type UnchangedInfo = facts.UnchangedInfo

// PinInfo says since when a backup is protected from every prune, and why.
//
// Its fields: go doc rsbtbackup/facts.PinInfo
type PinInfo = facts.PinInfo

// SourceIdentity identifies the filesystem and the directory of a source, so that an empty mount point of an unmounted
// disk, or another directory at the same path, is noticed.
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

// CheckLevel is the severity of a CheckResult.
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

// DiffKind is what happened to a file.
//
// Its fields: go doc rsbtbackup/facts.DiffKind
type DiffKind = facts.DiffKind

// DiffChange is one thing that differs between two versions of a file.
//
// Its fields: go doc rsbtbackup/facts.DiffChange
type DiffChange = facts.DiffChange

// DiffEntry is one difference. A file with several names has an entry for each name that differs. Files in a renamed
// directory have no entries of their own; files in an added or removed directory have.
//
// Its fields: go doc rsbtbackup/facts.DiffEntry
type DiffEntry = facts.DiffEntry

// Version is the state of a path in one or more consecutive backups.
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

// Overwrite says what a restore does with a file that already exists in the target.
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

// DamageKind says what is damaged.
//
// Its fields: go doc rsbtbackup/facts.DamageKind
type DamageKind = facts.DamageKind

// Damage is a file or directory that cannot be read completely.
//
// Its fields: go doc rsbtbackup/facts.Damage
type Damage = facts.Damage

// DamagedFile is a file in a backup.
//
// Its fields: go doc rsbtbackup/facts.DamagedFile
type DamagedFile = facts.DamagedFile

// VerifyProgress says how far Verify is.
//
// Its fields: go doc rsbtbackup/facts.VerifyProgress
type VerifyProgress = facts.VerifyProgress

// VerifyResult is the outcome of reading a backup.
//
// Its fields: go doc rsbtbackup/facts.VerifyResult
type VerifyResult = facts.VerifyResult

// Verification is the part of a record that says when Verify last read the backup, and what it found: Clean, Damaged or
// NotVerified.
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

// Progress says how far the transfer is; see rsyncexec.Progress.
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
