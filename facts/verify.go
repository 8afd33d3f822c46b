package facts

import (
	"time"
)

// AgainstChange is a Change with names for JSON.
type AgainstChange struct {
	Code string `json:"code"`
	Path string `json:"path"`
}

// DamageKind tells what is damaged.
type DamageKind string

const (
	// DataDamage: parts of a file.
	DataDamage DamageKind = "data"
	// MetadataDamage: the inode of a file, the list of where its data is (the Ranges cannot be found then), or a
	// directory and all below it.
	MetadataDamage DamageKind = "metadata"
)

// Damage is a file or directory that cannot be read to its end.
type Damage struct {
	Backup string     `json:"backup"`
	Path   string     `json:"path"` // in the backup; the root is ""
	Kind   DamageKind `json:"part"`
	// Ranges are the first 100 damaged parts of the data, Bytes their size in all.
	Ranges []DamagedRange `json:"ranges,omitempty"`
	Bytes  int64          `json:"bytes,omitempty"`
	Error  string         `json:"error"`
	// Shared lists the other files that hold the same damaged blocks, in this and in other backups, oldest backup
	// first, and other names of this file. Without root only files under the same path are found. Of metadata nothing
	// is known.
	Shared []DamagedFile `json:"shared,omitempty"`
	// Elsewhere is how many files outside of the backups hold them too.
	Elsewhere int `json:"elsewhere,omitempty"`
	// Intact is the nearest older backup in which the path can be read whole; empty if there is none.
	Intact string `json:"intact,omitempty"`
}

// DamagedFile is a file in a backup.
type DamagedFile struct {
	Backup string `json:"backup"`
	Path   string `json:"path"`
}

// VerifyProgress is how far Verify is.
type VerifyProgress struct {
	Backup  string
	Index   int   // of Backup, from 0
	Backups int   // to be read
	Files   int64 // read so far, in all backups
	Bytes   int64
	// Total is the sum of Bytes to expect when Backup is done; 0 if nobody knows.
	Total int64
}

// VerifyResult is what reading a backup led to.
type VerifyResult string

const (
	// Clean: everything could be read, and matched its checksum.
	Clean VerifyResult = "clean"
	// Damaged: something cannot be read any more.
	Damaged VerifyResult = "damaged"
	// Unread: some of it could not be read for other reasons.
	Unread VerifyResult = "unread"
	// NotVerified: some of it has no checksums, so that nothing tells whether it is what was written.
	NotVerified VerifyResult = "not verified"
)

// Verification is the part of a record that says when Verify last read the backup, and what it found: Clean, Damaged or
// NotVerified.
type Verification struct {
	At     time.Time    `json:"at"` // UTC
	Result VerifyResult `json:"result"`
	// Metadata tells that metadata is damaged, perhaps with data: no backup must be based on this one.
	Metadata bool `json:"metadata,omitempty"`
}

// VerifiedBackup is one backup that was read.
type VerifiedBackup struct {
	Name string `json:"name"`
	// Since is the backup with which it shares what was not read; empty if all of it was read.
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
