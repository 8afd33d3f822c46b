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

// Overwrite says what a restore does with a file that already exists in the target.
type Overwrite string

const (
	// OverwriteAlways writes every file (rsync --ignore-times).
	OverwriteAlways Overwrite = "always"
	// OverwriteIfChanged writes a file whose size or time, to the nanosecond, differs from that in the backup (rsync's
	// default).
	OverwriteIfChanged Overwrite = "if-changed"
	// OverwriteIfNewer is OverwriteIfChanged, but keeps what is newer in the target, to the nanosecond: files of every
	// kind, and entries of another kind than in the backup, with everything below them.
	OverwriteIfNewer Overwrite = "if-newer"
	// OverwriteNever keeps every file that exists in the target. If the backup has a directory in its place, that
	// directory is not restored. Directories that both have get the attributes they have in the backup. Unless the
	// target is empty, it needs rsync 3.5.0 there: older versions follow a symlink in the target where the backup has a
	// directory. An older local rsync is refused (ErrUsage, ErrRsyncTooOld).
	OverwriteNever Overwrite = "never"
)
