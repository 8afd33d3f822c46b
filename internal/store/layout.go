// Layout: the names of everything that rsbtbackup makes below DEST. They are in no other file.

package store

const CurName = "cur" // relative symlink to the newest complete backup

const spareInfix = "." // pending.1 and so on replace a damaged pending

const curNextName = ".cur.new" // the new symlink before it is renamed to cur

const PendingName = "pending" // the unfinished backup, a writable subvolume

const trashPrefix = ".deleting-" // and trashName: a backup that is being deleted; see delete.go

const LogDirName = ".log" // subvolume of its own, mode 0700

// Below .log:
const markerName = "rsbtbackup" // without it only init works

const LogFileName = "activity.log" // rotated to activity.log.1

const recordsName = "records" // NAME.json, one for each backup

const workNoteName = "pending.json" // the note about pending; see worknote.go

const (
	catalogName     = "catalog"         // what the source was at the last backup; see catalog.go
	workCatalogName = "pending.catalog" // what it was when pending was written; see WorkNote
)

const holderName = "holder.json" // who took the lock last; see lock.go

// Files by which DEST is recognised at any path.
const (
	MarkerPath = LogDirName + "/" + markerName
	HolderPath = LogDirName + "/" + holderName
)

const HeldName = "held.json" // deleted backups that prune found in use; see held.go

const RsyncName = "rsync.json" // the version of rsync, and of which file; see rsyncexec.Known

const PrunedName = "pruned.json" // how much the last prune deleted; see prune/unusual.go

const incomingName = "incoming" // where a received backup is made; see incoming.go

const reserveName = "reserve" // space for what has to be written when the disk is full

const recordSuffix = ".json"

// The marker of rsyncbtrfs.
const rsyncbtrfsMarker = ".rsyncbtrfs"

const asideInfix = ".was-" // a foreign entry with one of our names, renamed
