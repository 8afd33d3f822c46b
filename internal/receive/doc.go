// Package receive makes a subvolume out of a btrfs send stream, versions 1 to 3, as "btrfs receive" does, in pure Go.
//
// The subvolume is made in a directory that nobody else may enter, every path in the stream is looked up below it
// without following a symbolic link or entering a mount (openat2, Linux 5.6), and only when the stream has come to its
// end, with the checksum of every command right, and the disk has taken all of it, is it published: as a read-only
// snapshot, which appears whole or not at all, and in which nobody ever had a file open for writing. A partly received
// subvolume is removed.
//
// The subvolumes that a stream builds on are searched only beside the new one, not elsewhere on the filesystem.
//
// It needs root: files get their owners, devices are created, compressed data is written unchanged.
package receive
