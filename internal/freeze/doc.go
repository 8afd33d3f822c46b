// Package freeze lets a backup read a btrfs source at one instant: from a read-only snapshot that is made for the run
// and removed after it.
//
// The snapshot lies in the root of the source's subvolume, the only place that is known to be on the same filesystem
// and accessible to the caller; it does not contain itself. Its name proves that it is one of ours (see
// source.NewSnapshotName), and a lock on it proves that a run uses it. A snapshot without a lock was left by a crashed
// run, and the next run removes it.
//
// In the snapshot inode numbers, times and content are those of the source, but the subvolume has another UUID:
// Snapshot.Origins returns that of the source.
package freeze
