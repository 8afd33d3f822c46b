// Package sendstream reads the stream that BTRFS_IOC_SEND writes and "btrfs receive" takes: versions 1 to 3, of a whole
// subvolume or of the difference between two, with or without file data.
//
// [Commands] gives its commands one by one. It does no I/O but reading, holds one command at a time (at most
// [MaxCommand] bytes), and checks the checksum of each. What a command refers to is not checked, except that a path is
// relative and has no "..".
//
// The format, all of it little-endian: "btrfs-stream\0" and a 32-bit version; then for each command its length without
// this header (32 bits), its number (16), a CRC-32C over all of it with this field zero (32), and attributes, each a
// type (16), a length (16) and a value. From version 2 on the data of a write comes last and has no length: it goes to
// the end of the command.
package sendstream
