package facts

// ReflinkStats counts what was copied by sharing its blocks.
type ReflinkStats struct {
	Files       int64 `json:"files"` // regular ones, each inode once
	Directories int64 `json:"directories"`
	Symlinks    int64 `json:"symlinks"`
	Specials    int64 `json:"specials"` // devices, fifos, sockets
	HardLinks   int64 `json:"hard_links"`
	Bytes       int64 `json:"bytes"` // sizes of the files
}

// Overwrite says what a restore does with a file that is in the target already.
type Overwrite string

const (
	// OverwriteAlways writes every file (rsync --ignore-times).
	OverwriteAlways Overwrite = "always"
	// OverwriteIfChanged writes a file whose size or time, to the nanosecond, differs from that in the backup (rsync's
	// own way).
	OverwriteIfChanged Overwrite = "if-changed"
	// OverwriteIfNewer is OverwriteIfChanged, but what is newer in the target, to the nanosecond, stays: files of every
	// kind, and whatever is of another kind than in the backup, with all below it.
	OverwriteIfNewer Overwrite = "if-newer"
	// OverwriteNever leaves every file that is there, and where the backup has a directory in its place all of that is
	// left out; directories that both have get their attributes back. It takes rsync 3.5.0 at the target, unless that
	// is empty: older ones follow a symlink there that stands where the backup has a directory. A local one that is
	// older is refused (ErrUsage, ErrRsyncTooOld).
	OverwriteNever Overwrite = "never"
)
