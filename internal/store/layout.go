// Layout: every name rsbtbackup gives to something below DEST. No other file
// spells them.

package store

const CurName = "cur" // relative symlink to the newest complete backup

const spareInfix = "." // pending.1 and so on take the place of a pending that is damaged

const curNextName = ".cur.new" // the symlink that is about to be renamed over cur

const PendingName = "pending" // the unfinished backup, a writable subvolume

const trashPrefix = ".deleting-" // a backup on its way out; see delete.go

const LogDirName = ".log" // subvolume of its own, mode 0700

// Below .log:
const markerName = "rsbtbackup" // without it every verb but init refuses

const LogFileName = "activity.log" // rotated to activity.log.1

const recordsName = "records" // NAME.json, one for each backup

const workNoteName = "pending.json" // what is known about pending; see worknote.go

const catalogName = "catalog" // what the source was at the last complete backup; see catalog.go

const holderName = "holder.json" // who took the lock last; see lock.go

// By these DEST is known wherever it is seen.
const (
	MarkerPath = LogDirName + "/" + markerName
	HolderPath = LogDirName + "/" + holderName
)

const HeldName = "held.json" // deleted backups that prune found in use; see held.go

const PrunedName = "pruned.json" // how much the prune before has deleted; see prune/unusual.go

const incomingName = "incoming" // where a backup that is received is made; see incoming.go

const reserveName = "reserve" // space for what has to be written when the disk is full

const recordSuffix = ".json"

// What rsyncbtrfs leaves in its destinations.
const rsyncbtrfsMarker = ".rsyncbtrfs"

const asideInfix = ".was-" // something foreign found under one of our names, moved aside
