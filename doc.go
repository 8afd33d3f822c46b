// Package rsbtbackup makes incremental backups with rsync into btrfs snapshots. Every finished backup is a complete,
// browsable, read-only directory that shares unchanged blocks with the others. All btrfs work is done by ioctl; the
// only program run is rsync, and the ssh that rsync starts.
//
//	_, err := rsbtbackup.Init(ctx, "/backup/etc", rsbtbackup.InitOptions{})
//	report, err := rsbtbackup.Backup(ctx, rsbtbackup.BackupOptions{Source: "/etc", Dest: "/backup/etc"})
//	listing, err := rsbtbackup.List(ctx, "/backup/etc")
//
// # How a backup runs
//
// Each step of Backup is in the file named after it:
//
//	open and lock DEST     store.go, lock.go
//	read what is there     state.go, record.go, worknote.go
//	refuse what is unsafe  guard.go, source.go
//	decide                 plan.go, name.go
//	repair leftovers       repair.go
//	fill pending           prepare.go, transfer.go
//	judge rsync's exit     judge.go
//	keep holes             holes.go
//	publish                commit.go
//	say what was done      report.go, log.go
//
// # On disk
//
//	DEST/                    any directory on btrfs
//	  .log/                  a subvolume, mode 0700
//	    rsbtbackup           the marker Init makes
//	    activity.log[.1]     what was done, rotated past 1 MB
//	    records/NAME.json    what the run that made NAME did
//	  pending                the unfinished backup, a writable subvolume
//	  2026-11-23-09:00       a finished backup, a read-only subvolume named in local time
//	  cur -> 2026-11-23-09:00  the newest complete backup
//
// # Privileges
//
// Root keeps owners, devices and every attribute. An ordinary user can do all of it with files of their own.
//
// # Errors
//
// Every error wraps its cause. Test with errors.Is against the Err variables of this package; the text names operation,
// path and cause.
package rsbtbackup
