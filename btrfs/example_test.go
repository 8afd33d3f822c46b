//go:build linux

package btrfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
)

// A writable work subvolume is published as a read-only snapshot: at once or not at all, and on disk with its data.
func Example() {
	dir, err := btrfs.OpenDir("/srv/backup")
	if err != nil {
		log.Fatal(err)
	}
	defer dir.Close()
	if err := btrfs.CreateSubvolume(dir, "pending"); err != nil {
		log.Fatal(err)
	}
	pending, err := btrfs.OpenDirAt(dir, "pending")
	if err != nil {
		log.Fatal(err)
	}
	defer pending.Close()

	// ... write into /srv/backup/pending ...

	if err := btrfs.SyncFS(dir); err != nil {
		log.Fatal("the disk refused data: ", err)
	}
	err = btrfs.CreateSnapshot(dir, "2026-11-23-09:00", pending, btrfs.SnapshotOptions{ReadOnly: true})
	if errors.Is(err, fs.ErrExist) {
		log.Fatal("there is one of this minute already")
	}
	if err != nil {
		log.Fatal(err)
	}
	if err := btrfs.DeleteSubvolume(dir, "pending"); err != nil {
		log.Fatal(err)
	}
}

// What a snapshot added to the one before it.
func ExampleAddedBytes() {
	older, err := btrfs.OpenDir("/srv/backup/2026-11-22-09:00")
	if err != nil {
		log.Fatal(err)
	}
	defer older.Close()
	newer, err := btrfs.OpenDir("/srv/backup/2026-11-23-09:00")
	if err != nil {
		log.Fatal(err)
	}
	defer newer.Close()

	info, err := btrfs.SubvolumeInfo(older)
	if err != nil {
		log.Fatal(err)
	}
	bytes, err := btrfs.AddedBytes(newer, info.Generation)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes, "bytes added")
}

// On anything but btrfs OpenDir refuses.
func ExampleOpenDir() {
	_, err := btrfs.OpenDir("/proc")
	fmt.Println(err)
	fmt.Println(errors.Is(err, btrfs.ErrNotBtrfs))
	// Output:
	// open /proc: not on a btrfs filesystem
	// true
}
