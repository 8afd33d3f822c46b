// Diff, TextDiff, History: what changed between backups.

package rsbtbackup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/diff"
)

// DiffOptions of Diff. The zero value compares everything, the fastest way.
type DiffOptions struct {
	// Path limits it to what is at or below, relative to the root of the backups. What moved in or out across that line
	// is added or removed.
	Path   string
	Method DiffMethod
}

// Difference is what Diff found.
type Difference struct {
	Dest   string     `json:"dest"`
	From   string     `json:"from"`
	To     string     `json:"to"`
	Path   string     `json:"path,omitempty"`
	Method DiffMethod `json:"method"` // how it was found
	// Entries are sorted by Path.
	Entries []DiffEntry `json:"-"`
	// Unread says what could not be compared, and why.
	Unread []string `json:"unread,omitempty"`
}

// Diff compares the backups from and to, each given as a name, a unique prefix, "latest" or "latest~N". It takes no
// lock and changes nothing.
//
// Modified means that the content differs: a file rewritten with the same bytes is no difference. A file is the same as
// before, under whatever name, if its inode number and time of birth are: snapshots keep both. As rsync makes a new
// file of one that was renamed at the source, a file that is gone and a new one are a rename too if size, modification
// time to the nanosecond and content agree. Of what could not be read nothing is said, and data that both backups have
// in one place on the disk need not be read, if root asks. Subvolumes nested in a backup are not looked into.
//
// With DiffSend the time is proportional to what changed, with DiffWalk to what is there; memory in either case to what
// changed.
//
// Errors match ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrNoBackup, ErrAmbiguous, ErrBackupGone, ErrUsage for a path
// that leaves the backup, ErrNoPath (and fs.ErrNotExist) for one that is in neither, and ErrNotCompared, with which the
// Difference is valid.
func Diff(ctx context.Context, dest, from, to string, o DiffOptions) (*Difference, error) {
	d, err := diff.Run(ctx, dest, from, to, diff.Options(o))
	return (*Difference)(d), err
}

// TextDiff returns the unified difference of one file between two backups, "" if there is none. The file may be missing
// in one of them. Text is UTF-8 without NUL, of at most 1 MiB. In the header a name that is not plain is in double
// quotes, as git has it.
//
// Errors are those of Diff, and ErrBinary, ErrTooLarge, and ErrUsage for what is no regular file.
func TextDiff(ctx context.Context, dest, from, to, path string) (string, error) {
	return diff.Text(ctx, dest, from, to, path)
}

// PathHistory is what History found.
type PathHistory struct {
	Dest     string    `json:"dest"`
	Path     string    `json:"path"`    // relative to the root of each backup; "." is that root
	Backups  int       `json:"backups"` // how many there are
	Versions []Version `json:"-"`       // oldest first
	// Unread says what could not be looked up or compared, and why.
	Unread []string `json:"unread,omitempty"`
	// Passed are backups that cannot be opened at all: what they had is not here.
	Passed []string `json:"passed,omitempty"`
}

// History goes through all backups, oldest first, and lists the distinct versions of path, which is relative to their
// roots and never leaves them.
//
// A version ends where type, content, mode, owner, modification time or extended attributes differ, or where that
// cannot be told since something cannot be read. Content is read only where inode, ctime, size and, for root, its place
// on the disk do not settle it. A backup in which the path cannot be looked up is passed over, and so is one that
// cannot be opened at all. Of a directory it is the directory itself that is meant, whose modification time tells that
// names in it came or went, not what happened to the files in it. It takes no lock; a backup that is deleted meanwhile
// is left out.
//
// Errors match ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrUsage for a path that would leave the backup, ErrNoPath (and
// fs.ErrNotExist) for one that no backup has, fs.ErrPermission, and ErrNotCompared, with which the PathHistory, if
// there is one, is valid.
func History(ctx context.Context, dest, path string) (*PathHistory, error) {
	h, err := diff.History(ctx, dest, path)
	return (*PathHistory)(h), err
}
