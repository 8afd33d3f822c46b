// Diff, TextDiff, History: what changed between backups.

package rsbtbackup

import (
	"context"

	"github.com/rsbtbackup/rsbtbackup/internal/diff"
)

// DiffOptions are the options of Diff. The zero value compares everything, in the fastest way.
type DiffOptions struct {
	// Path, relative to the root of the backups, limits the comparison to this path and what is below it. What moved
	// into or out of it counts as added or removed.
	Path   string
	Method DiffMethod // "" is the fastest that works
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
// before, even under another name, if its inode number and time of birth are: snapshots keep both. rsync makes a new
// file from one that was renamed at the source, so a file that is gone and a new one also count as a rename if size,
// modification time to the nanosecond and content agree. Nothing is said about what could not be read. If the caller is
// root, data that both backups have at the same place on the disk is not read. Subvolumes nested in a backup are not
// compared.
//
// The time needed is proportional to what changed with DiffSend, and to the size of the trees with DiffWalk. The memory
// needed is proportional to what changed.
//
// Errors match ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrNoBackup, ErrAmbiguous, ErrBackupGone, ErrUsage for a path
// that leaves the backup, ErrNoPath (and fs.ErrNotExist) for one that is in neither, and ErrNotCompared, with which the
// Difference is valid.
func Diff(ctx context.Context, dest, from, to string, o DiffOptions) (*Difference, error) {
	d, err := diff.Run(ctx, dest, from, to, diff.Options(o))
	return (*Difference)(d), err
}

// TextDiff returns the unified difference of one file between two backups, "" if there is none. The file may be missing
// in one of them. Text is UTF-8 without NUL, of at most 1 MiB. In the header a name with special characters is in
// double quotes, as in git.
//
// Errors are those of Diff, and ErrBinary, ErrTooLarge, and ErrUsage for a path that is not a regular file.
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
	// Passed lists backups that cannot be opened at all, so their versions are missing here.
	Passed []string `json:"passed,omitempty"`
}

// History goes through all backups, oldest first, and lists the distinct versions of path, which is relative to their
// roots and never leaves them.
//
// A new version begins where type, content, mode, owner, modification time or extended attributes differ, or where
// something cannot be read and so cannot be compared. Content is read only if inode, ctime, size and, for root, the
// place on the disk do not decide. A backup in which the path cannot be looked up, or that cannot be opened at all, is
// skipped. The history of a directory is that of the directory itself: its modification time changes when names in it
// come or go, not when files in it change. History takes no lock; a backup that is deleted meanwhile is left out.
//
// Errors match ErrDest, ErrNotBtrfs, ErrNotInitialized, ErrUsage for a path that would leave the backup, ErrNoPath (and
// fs.ErrNotExist) for one that no backup has, fs.ErrPermission, and ErrNotCompared, with which the PathHistory, if
// there is one, is valid.
func History(ctx context.Context, dest, path string) (*PathHistory, error) {
	h, err := diff.History(ctx, dest, path)
	return (*PathHistory)(h), err
}
