package facts

import (
	"time"
)

// DiffMethod is a way to find differences.
type DiffMethod string

const (
	// DiffAuto is the fastest that works.
	DiffAuto DiffMethod = ""
	// DiffSend asks the kernel. It takes root, two read-only backups, and that one descends from the other or both from
	// a third.
	DiffSend DiffMethod = "send"
	// DiffWalk looks at every file in both.
	DiffWalk DiffMethod = "walk"
)

// DiffKind is what became of a file.
type DiffKind string

// The kinds of DiffEntry.
const (
	DiffAdded    DiffKind = "added"
	DiffRemoved  DiffKind = "removed"
	DiffModified DiffKind = "modified" // another content, target, device or type
	DiffRenamed  DiffKind = "renamed"  // and possibly more, see Changed
	DiffMetadata DiffKind = "metadata" // mode, owner, mtime or attributes alone
	DiffUnread   DiffKind = "unread"   // Changed, and perhaps more: not all of it could be read
)

// DiffChange is one thing that differs between two versions of a file.
type DiffChange string

// The changes of DiffEntry, in the order they come in.
const (
	ChangedType    DiffChange = "type"    // nothing else is compared then
	ChangedContent DiffChange = "content" // bytes of a file, target of a symlink, device number
	ChangedMode    DiffChange = "mode"
	ChangedOwner   DiffChange = "owner" // or group
	ChangedMtime   DiffChange = "mtime" // not of a directory: it follows from what is in it
	ChangedXattrs  DiffChange = "xattrs"
)

// DiffEntry is one difference. Of a file with several names each that is concerned has an entry. What merely lies in a
// directory that was renamed has none; what was added, or removed, with its directory has.
type DiffEntry struct {
	Kind    DiffKind     `json:"change"`
	Path    string       `json:"path"`               // in the second backup; of what was removed, in the first
	OldPath string       `json:"old_path,omitempty"` // in the first, if it differs
	Type    string       `json:"kind"`               // as of Entry
	OldType string       `json:"old_kind,omitempty"` // if it differs
	Changed []DiffChange `json:"changed,omitempty"`
	Size    int64        `json:"size"`     // of a file, in the second backup
	OldSize int64        `json:"old_size"` // of a file, in the first
}

// Version is a path as it was in one or more backups in a row.
type Version struct {
	First string `json:"first"` // the oldest backup that has it like this
	Last  string `json:"last"`  // the newest, the next of which has it otherwise or not at all
	// Take is the one to restore it from: the newest complete one that is not known to be damaged, or else the next
	// best.
	Take    string `json:"take"`
	Backups int    `json:"backups"` // how many have it like this
	// Vanished is the backup after Last, if that lacks the path.
	Vanished string       `json:"vanished,omitempty"`
	Type     string       `json:"kind"` // as of Entry
	Size     int64        `json:"size"` // of a file
	Mode     Permissions  `json:"mode"`
	UID      uint32       `json:"uid"`
	GID      uint32       `json:"gid"`
	ModTime  time.Time    `json:"mtime"`
	Changed  []DiffChange `json:"changed,omitempty"` // against the version before; nothing if it appears
	// Unread: there may be more changes than Changed, or none at all, since something could not be read.
	Unread bool `json:"unread,omitempty"`
}
