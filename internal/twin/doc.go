// Package twin compares a backup with its copy, on two filesystems or two hosts.
//
// Content is compared by the checksums of btrfs if both have the same kind and store the data in the same way,
// otherwise by reading both. Everything else is compared directly: names, modes, owners, times, attributes, ACLs,
// flags, holes, and which names are one file.
package twin
