package rsbtbackup_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/rsbtbackup/rsbtbackup"
)

// The examples need a directory on btrfs, so they are compiled but not run. Package integration runs
// the like of them.

func ExampleInit() {
	report, err := rsbtbackup.Init(context.Background(), "/backup/etc", rsbtbackup.InitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if report.Adopted != "" {
		fmt.Printf("%d backups of %s will go on\n", report.Backups, report.Adopted)
	}
	for _, warning := range report.Warnings {
		fmt.Println(warning)
	}
}

func ExampleBackup() {
	report, err := rsbtbackup.Backup(context.Background(), rsbtbackup.BackupOptions{
		Source:  "root@web1:/var/www",
		Dest:    "/backup/web1",
		Exclude: []string{".cache"},
	})
	switch {
	case errors.Is(err, rsbtbackup.ErrIncomplete):
		fmt.Printf("%s is published, but not everything could be read: %s\n", report.Name, report.Complaints)
	case errors.Is(err, rsbtbackup.ErrLocked):
		fmt.Println("another backup is being made, try again later")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Printf("%s holds %d files, %d of them new or changed\n", report.Name, report.Stats.Files, report.Stats.Transferred)
	}
}

func ExampleList() {
	listing, err := rsbtbackup.List(context.Background(), "/backup/etc")
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range listing.Backups {
		mark := " "
		if b.Current {
			mark = "*"
		}
		fmt.Println(mark, b.Name, b.Status)
	}
}
