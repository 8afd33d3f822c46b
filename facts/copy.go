package facts

import "time"

// CopyVerdict is what a comparison of a backup with its copy led to.
type CopyVerdict string

const (
	// SameCopy: the copy is the backup.
	SameCopy CopyVerdict = "same"
	// CopyDiffers: it is not.
	CopyDiffers CopyVerdict = "differs"
	// CopyUnread: some of either could not be read, and nothing else differs.
	CopyUnread CopyVerdict = "unread"
	// NoCopy: there is none.
	NoCopy CopyVerdict = "no copy"
)

// Comparison says when a backup was compared with a copy, and what came of it:
// SameCopy or CopyDiffers.
type Comparison struct {
	At     time.Time   `json:"at"`     // UTC
	Target string      `json:"target"` // the directory of the copy, or HOST:PATH
	Result CopyVerdict `json:"result"`
}

// ComparedBackup is one backup that was compared with its copy.
type ComparedBackup struct {
	Name   string      `json:"name"`
	As     string      `json:"as,omitempty"` // the name of the copy, if that is another
	Result CopyVerdict `json:"result"`
	Names  int64       `json:"names"` // compared
	Files  int64       `json:"files"` // regular files whose content was compared
	// BySums of them were compared by the checksums of both filesystems,
	// ByReading by reading both, which were Bytes on each side.
	BySums      int64 `json:"by_sums"`
	ByReading   int64 `json:"by_reading"`
	Bytes       int64 `json:"bytes"`
	Differences int   `json:"differences"`
}

// CopyDifference is a path at which a copy is not as its backup.
type CopyDifference struct {
	Backup    string `json:"backup"`
	Path      string `json:"path"`                 // "." is the root
	PathBytes []byte `json:"path_bytes,omitempty"` // the same, where JSON cannot hold it
	// What differs: "missing" or "extra" in the copy, "names" (it has more of them in a
	// directory), "type", "mode", "owner", "time", "size", "device", "target",
	// "attributes" (with the ACLs), "flags" (of chattr), "links", "holes", "content".
	What []string `json:"what"`
}
