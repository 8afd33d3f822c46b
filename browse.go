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
	// Pending reports an unfinished backup: one that is being made, or one that was interrupted and will be resumed or
	// removed.
	Pending bool `json:"pending"`
	// Running reports that it is being made.
	Running bool `json:"running"`
	// Foreign lists the other entries of DEST; they are never touched.
	Foreign []string `json:"foreign"`
	// Hidden lists those entries of Foreign that have a backup's name and hide a backup, or are one, because something
	// is mounted on them.
	Hidden []string `json:"hidden"`
	// AtMost reports that Exclusive is an upper bound: the kernel cannot tell who shares the data, or it would have to
	// be asked too often.
	AtMost bool   `json:"at_most,omitempty"`
	Free   uint64 `json:"free"`  // bytes, as statfs reports to an ordinary user
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
// every extent that a backup does not share with the one before it, so it takes longer the more has changed. Only root
// may query this: for others both stay nil, and also while something is mounted on a backup.
func ListSizes(ctx context.Context, dest string) (*Listing, error) {
	l, err := browse.ListSizes(ctx, dest)
	return (*Listing)(l), err
}

// LsOptions are the options of Ls.
type LsOptions struct {
	Recursive bool // also list subdirectories
	// Pick gets the sorted names in a directory and returns those to list. A name that is not listed costs next to
	// nothing. Nil lists all.
	Pick func(names []string) []string
}

// Ls calls emit for each entry of the directory at path in a backup of dest, sorted by name, or for path itself if it
// is not a directory. With Recursive the entries of a directory come right after it. Symlinks on the way to path are
// followed as in Open; a symlink at its end is listed itself, unless path ends in a slash. An error of emit ends the
// listing and is returned.
//
// The memory needed depends on the largest directory listed. Errors are those of Open.
func Ls(ctx context.Context, dest, backup, path string, o LsOptions, emit func(Entry) error) error {
	return browse.Ls(ctx, dest, backup, path, browse.LsOptions(o), emit)
}

// Open opens the regular file at path in a backup of dest for reading. The backup is given as a name, a unique prefix,
// "latest" or "latest~N". path is relative to the root of the backup; a leading slash means that root. Symlinks are
// followed inside the backup; ".." and symlinks never lead out of it. Only regular files are opened.
//
// A block that fails its checksum gives EIO from Read.
//
// Errors match ErrNoBackup, ErrAmbiguous, ErrNoPath, ErrUsage, ErrBackupGone, or those of List. Reading needs the
// rights that the file's mode asks for.
func Open(ctx context.Context, dest, backup, path string) (*os.File, error) {
	return browse.Open(ctx, dest, backup, path)
}

// OpenEach opens the regular files at paths one after the other, all in the same backup, like Open, and calls visit
// with each. A file is closed after visit, or when ctx ends. The first error ends it.
func OpenEach(ctx context.Context, dest, backup string, paths []string, visit func(path string, f *os.File) error) error {
	return browse.OpenEach(ctx, dest, backup, paths, visit)
}
