// List, Ls, Open: what is in DEST, and in its backups.

package rsbtbackup

import (
	"context"
	"os"

	"github.com/rsbtbackup/rsbtbackup/internal/browse"
)

// Listing is what DEST holds.
type Listing struct {
	Dest    string     `json:"dest"`
	Backups []Snapshot `json:"backups"` // oldest first
	// Pending tells that an unfinished backup lies there: one that is being made, or one that was interrupted and will
	// be resumed or removed.
	Pending bool `json:"pending"`
	// Running tells that it is being made.
	Running bool `json:"running"`
	// Foreign are the other entries of DEST; they are never touched.
	Foreign []string `json:"foreign"`
	// Hidden are those of them that are called like a backup and are, or hide, one, as something is mounted on them.
	Hidden []string `json:"hidden"`
	// AtMost tells that Exclusive is an upper bound: there is too much to ask the kernel who else has each part of it,
	// or it cannot tell.
	AtMost bool   `json:"at_most,omitempty"`
	Free   uint64 `json:"free"`  // bytes, as statfs tells an ordinary user
	Total  uint64 `json:"total"` // bytes
}

// List reads DEST. It takes no lock and changes nothing, so it never waits for a running backup, and works on a
// read-only mount. It needs read access to DEST and .log.
//
// Errors match ErrDest, ErrNotBtrfs or ErrNotInitialized.
func List(ctx context.Context, dest string) (*Listing, error) {
	l, err := browse.List(ctx, dest)
	return (*Listing)(l), err
}

// ListSizes is List with Exclusive filled in for each backup, and Added where the record does not have it. It looks at
// every extent that a backup does not share with the one before it, so it takes longer the more has changed. Both stay
// nil for everybody but root, as only root may query this, and while something is mounted on a backup.
func ListSizes(ctx context.Context, dest string) (*Listing, error) {
	l, err := browse.ListSizes(ctx, dest)
	return (*Listing)(l), err
}

// LsOptions are the options of Ls.
type LsOptions struct {
	Recursive bool // what is in subdirectories, too
	// Pick is given the sorted names in a directory and returns those to list: one that is not listed costs next to
	// nothing. Nil: all.
	Pick func(names []string) []string
}

// Ls calls emit for what stands at path in a backup of dest: of a directory each entry, sorted by name, of anything
// else that alone. With Recursive the entries of a directory come right after it. Symlinks on the way to path are
// followed as in Open; one at its end is shown, unless path ends in a slash. An error of emit ends the listing and is
// returned.
//
// The memory used is that of the largest directory on the way. Errors are those of Open.
func Ls(ctx context.Context, dest, backup, path string, o LsOptions, emit func(Entry) error) error {
	return browse.Ls(ctx, dest, backup, path, browse.LsOptions(o), emit)
}

// Open opens the regular file at path in a backup of dest for reading. The backup is named as find does it: by name,
// unique prefix, "latest" or "latest~N". path is relative to the root of the backup; a leading slash means that root.
// Symlinks are followed while they stay inside the backup; ".." and symlinks never lead out. Nothing but a regular file
// is ever opened.
//
// A block that fails its checksum gives EIO from Read.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrNoPath, ErrUsage, ErrBackupGone, or those of List. Reading needs the
// rights that the file's mode asks for.
func Open(ctx context.Context, dest, backup, path string) (*os.File, error) {
	return browse.Open(ctx, dest, backup, path)
}
