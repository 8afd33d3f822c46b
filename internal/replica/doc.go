// Package replica makes a second copy of backups: in another DEST, here or on another host, or in an archive.
//
// A copy is a btrfs send stream that package receive makes a subvolume of again, with the same name, the record and the
// pin. Which backups are missing, and what each is incremental on, is decided once (plan.go), from the UUIDs of both
// sides: a received subvolume knows the one it comes from, over any number of hosts.
//
// The side that receives needs nothing from the other but the streams, and does nothing for it but receive and tell
// which backups it has. It decides about deletion alone.
package replica
