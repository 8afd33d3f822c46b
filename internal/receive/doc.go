// Package receive makes a subvolume from a btrfs send stream, versions 1 to 3, as "btrfs receive" does, in pure Go.
//
// The subvolume is made in a directory that no other user may enter. Every path in the stream is looked up below it
// without following a symbolic link or entering a mount (openat2, Linux 5.6). It is published only at the end of the
// stream, if the checksum of every command was right and the disk has taken all data: as a read-only snapshot, which
// appears complete or not at all, and in which no program ever had a file open for writing. A partly received subvolume
// is removed.
//
// The subvolumes that a stream builds on are searched only beside the new one, not elsewhere on the filesystem.
//
// It needs root: files get their owners, devices are created, compressed data is written unchanged.
package receive
