// Package rsbtbackup makes incremental backups with rsync into btrfs snapshots. Every finished backup is a complete,
// browsable, read-only directory that shares unchanged blocks with the others. btrfs is controlled by ioctls. The only
// programs run are rsync, and ssh for remote sources and copies.
//
//	_, err := rsbtbackup.Init(ctx, "/backup/etc", rsbtbackup.InitOptions{})
//	report, err := rsbtbackup.Backup(ctx, rsbtbackup.BackupOptions{Source: "/etc", Dest: "/backup/etc"})
//	listing, err := rsbtbackup.List(ctx, "/backup/etc")
//
// # How a backup runs
//
// Package internal/backup makes a backup in these steps, each in the file named after it:
//
//	check the options        options.go
//	open and lock DEST       package internal/store
//	read SRC and DEST        read.go
//	refuse what is unsafe    guard.go
//	decide what to do        plan.go
//	prepare pending          fill.go, scan.go
//	run rsync                transfer.go
//	judge rsync's exit       judge.go
//	publish                  publish.go
//	report what was done     report.go
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
// A backup made by root keeps owners, devices and every attribute. Ordinary users can back up and restore their own
// files.
//
// # Errors
//
// Every error wraps its cause. Test for the Err variables of this package with errors.Is. The text names operation,
// path and cause.
package rsbtbackup
