package facts

import (
	"time"
)

// DiffMethod is a way to find differences.
type DiffMethod string

const (
	// DiffAuto is the fastest that works.
	DiffAuto DiffMethod = ""
	// DiffSend asks the kernel. It needs root and two read-only backups, of which one descends from the other, or both
	// from a third.
	DiffSend DiffMethod = "send"
	// DiffWalk looks at every file in both.
	DiffWalk DiffMethod = "walk"
)

// DiffKind is what happened to a file.
type DiffKind string

// The kinds of DiffEntry.
const (
	DiffAdded    DiffKind = "added"
	DiffRemoved  DiffKind = "removed"
	DiffModified DiffKind = "modified" // content, target, device or type differ
	DiffRenamed  DiffKind = "renamed"  // possibly with other changes, see Changed
	DiffMetadata DiffKind = "metadata" // only mode, owner, mtime or attributes differ
	DiffUnread   DiffKind = "unread"   // not all of it could be read: there may be more changes than Changed
)

// DiffChange is one thing that differs between two versions of a file.
type DiffChange string

// The changes of DiffEntry, in the order they come in.
const (
	ChangedType    DiffChange = "type"    // if the type differs, nothing else is compared
	ChangedContent DiffChange = "content" // bytes of a file, target of a symlink, device number
	ChangedMode    DiffChange = "mode"
	ChangedOwner   DiffChange = "owner" // or group
	ChangedMtime   DiffChange = "mtime" // not of a directory: it only follows from changes in it
	ChangedXattrs  DiffChange = "xattrs"
)

// DiffEntry is one difference. A file with several names has an entry for each name that differs. Files in a renamed
// directory have no entries of their own; files in an added or removed directory have.
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

// Version is the state of a path in one or more consecutive backups.
type Version struct {
	First string `json:"first"` // the oldest backup with this version
	Last  string `json:"last"`  // the newest backup with this version
	// Take is the backup to restore this version from: the newest complete one without known damage, or else the next
	// best.
	Take string `json:"take"`
	// TakeDamaged is true if damage of that backup is known, too, in this path or in others.
	TakeDamaged bool `json:"take_damaged,omitempty"`
	Backups     int  `json:"backups"` // how many backups have this version
	// Vanished is the backup after Last, if that lacks the path.
	Vanished string       `json:"vanished,omitempty"`
	Type     string       `json:"kind"` // as of Entry
	Size     int64        `json:"size"` // of a file
	Mode     Permissions  `json:"mode"`
	UID      uint32       `json:"uid"`
	GID      uint32       `json:"gid"`
	ModTime  time.Time    `json:"mtime"`
	Changed  []DiffChange `json:"changed,omitempty"` // compared with the version before; empty for the first, or if the path was missing before
	// Unread: something could not be read, so there may be more changes than Changed, or none at all.
	Unread bool `json:"unread,omitempty"`
}
