// Package twin compares a backup with its copy, on two filesystems or two hosts.
//
// Content is compared by the checksums that btrfs keeps, where both have the same kind of them and store the data in
// the same way, and by reading both where not. All else is compared as it is: names, modes, owners, times, attributes,
// ACLs, flags, holes, and which names are one file.
package twin
