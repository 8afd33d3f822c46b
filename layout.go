// Layout: every name rsbtbackup gives to something below DEST. No other file
// spells them.

package rsbtbackup

const (
	curName     = "cur"        // relative symlink to the newest complete backup
	spareInfix  = "."          // pending.1 and so on take the place of a pending that is damaged
	curNextName = ".cur.new"   // the symlink that is about to be renamed over cur
	pendingName = "pending"    // the unfinished backup, a writable subvolume
	trashPrefix = ".deleting-" // a backup on its way out; see delete.go
	logDirName  = ".log"       // subvolume of its own, mode 0700

	// Below .log:
	markerName   = "rsbtbackup"   // without it every verb but init refuses
	logFileName  = "activity.log" // rotated to activity.log.1
	recordsName  = "records"      // NAME.json, one for each backup
	workNoteName = "pending.json" // what is known about pending; see worknote.go
	holderName   = "holder.json"  // who took the lock last; see lock.go
	heldName     = "held.json"    // deleted backups that prune found in use; see held.go

	recordSuffix = ".json"
	tempPrefix   = ".new-" // a file about to be renamed over its final name

	// What rsyncbtrfs leaves in its destinations.
	rsyncbtrfsMarker = ".rsyncbtrfs"

	asideInfix = ".was-" // something foreign found under one of our names, moved aside
)
