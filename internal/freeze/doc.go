// Package freeze lets a backup read a btrfs source as it was at one instant: from a read-only snapshot that is made for
// the run and removed after it.
//
// The snapshot lies in the root of the source's subvolume, the only place that is known to be on the same filesystem
// and open to the caller; it does not contain itself. Its name proves that it is one of ours (see newName), and a lock
// on it that a run uses it: what is not locked is left of a run that died, and the next one removes it.
//
// In the snapshot inode numbers, times and content are those of the source, but the subvolume has another UUID:
// Snapshot says which one it stands for.
package freeze
