package rsbtbackup_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/rsbtbackup/rsbtbackup"
)

func ExampleInit() {
	report, err := rsbtbackup.Init(context.Background(), "/srv/backup/etc", rsbtbackup.InitOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if report.Adopted != "" {
		fmt.Printf("%d backups of %s will go on\n", report.Backups, report.Adopted)
	}
	for _, warning := range report.Warnings {
		fmt.Println(warning)
	}
	fmt.Println("backups can be made in", report.Dest)
	// Output: backups can be made in /srv/backup/etc
}

// Source may be on another host: "root@web1:/var/www".
func ExampleBackup() {
	report, err := rsbtbackup.Backup(context.Background(), rsbtbackup.BackupOptions{
		Source:  "/srv/www",
		Dest:    "/srv/backup/web1",
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
		fmt.Printf("%s: %d files, %d of them new or changed\n", report.Status, report.Stats.RegularFiles, report.Stats.Transferred)
	}
	// Output: complete: 2 files, 2 of them new or changed
}

func ExampleList() {
	listing, err := rsbtbackup.List(context.Background(), "/srv/backup/www")
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range listing.Backups {
		fmt.Println(b.Name, b.Status, b.Current)
	}
	// Output:
	// 2026-11-22-09:00 complete false
	// 2026-11-23-09:00 complete true
}
