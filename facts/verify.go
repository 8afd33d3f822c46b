package facts

import (
	"time"
)

// AgainstChange is a Change with names for JSON.
type AgainstChange struct {
	Code string `json:"code"`
	Path string `json:"path"`
}

// DamageKind says what is damaged.
type DamageKind string

const (
	// DataDamage: parts of a file.
	DataDamage DamageKind = "data"
	// MetadataDamage: the inode of a file, its list of extents (then the Ranges are not known), or a directory and
	// everything below it.
	MetadataDamage DamageKind = "metadata"
)

// Damage is a file or directory that cannot be read completely.
type Damage struct {
	Backup string     `json:"backup"`
	Path   string     `json:"path"` // in the backup; the root is ""
	Kind   DamageKind `json:"part"`
	// Ranges are the first 100 damaged parts of the data, Bytes their size in all.
	Ranges []DamagedRange `json:"ranges,omitempty"`
	Bytes  int64          `json:"bytes,omitempty"`
	Error  string         `json:"error"`
	// Shared lists the other files that have the same damaged blocks, in this and in other backups, oldest backup
	// first, and other names of this file. Without root only files under the same path are found. For damaged metadata
	// it is not known.
	Shared []DamagedFile `json:"shared,omitempty"`
	// Elsewhere is how many files outside of the backups have them too.
	Elsewhere int `json:"elsewhere,omitempty"`
	// Intact is the nearest older backup in which the path can be read whole; empty if there is none.
	Intact string `json:"intact,omitempty"`
}

// DamagedFile is a file in a backup.
type DamagedFile struct {
	Backup string `json:"backup"`
	Path   string `json:"path"`
}

// VerifyProgress says how far Verify is.
type VerifyProgress struct {
	Backup  string
	Index   int   // of Backup, from 0
	Backups int   // to be read
	Files   int64 // read so far, in all backups
	Bytes   int64
	// Total is the expected Bytes when Backup is done; 0 if unknown.
	Total int64
}

// VerifyResult is the outcome of reading a backup.
type VerifyResult string

const (
	// Clean: everything could be read, and matched its checksum.
	Clean VerifyResult = "clean"
	// Damaged: something cannot be read any more.
	Damaged VerifyResult = "damaged"
	// Unread: some of it could not be read for other reasons.
	Unread VerifyResult = "unread"
	// NotVerified: some data has no checksums, so it cannot be verified.
	NotVerified VerifyResult = "not verified"
)

// Verification is the part of a record that says when Verify last read the backup, and what it found: Clean, Damaged or
// NotVerified.
type Verification struct {
	At     time.Time    `json:"at"` // UTC
	Result VerifyResult `json:"result"`
	// Metadata reports damaged metadata, perhaps with damaged data: no backup may be based on this one.
	Metadata bool `json:"metadata,omitempty"`
}

// VerifiedBackup is one backup that was read.
type VerifiedBackup struct {
	Name string `json:"name"`
	// Since is the backup that shares the data that was not read; empty if everything was read.
	Since  string       `json:"since,omitempty"`
	Result VerifyResult `json:"result"`
	Files  int64        `json:"files"`
	Bytes  int64        `json:"bytes"`
}

// DamagedRange is a part of a file that cannot be read.
type DamagedRange struct {
	Offset int64 `json:"offset"` // bytes
	Length int64 `json:"length"` // bytes
}
