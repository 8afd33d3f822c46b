// Package replica makes a second copy of backups: in another DEST, here or on another host, or in an archive.
//
// A copy is a btrfs send stream from which package receive makes a subvolume with the same name, record and pin. Which
// backups are missing, and what each is incremental on, is decided once (plan.go), from the UUIDs of both sides: a
// received subvolume has the UUID of the original, over any number of hosts.
//
// The receiving side only receives streams, lists its backups, pins copies, and answers whether a copy equals a
// description. Only its own rules delete backups.
//
// compare.go and comparing.go compare backups with their copies, with package twin.
package replica
