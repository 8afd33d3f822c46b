package rsbtbackup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/rsbtbackup/rsbtbackup"
)

func ExampleRestore() {
	report, err := rsbtbackup.Restore(context.Background(), rsbtbackup.RestoreOptions{
		Dest:      "/srv/backup/www",
		Backup:    "latest",
		Paths:     []string{"css"},
		Target:    "/srv/www",
		Overwrite: rsbtbackup.OverwriteIfChanged,
	})
	switch {
	case errors.Is(err, rsbtbackup.ErrIncomplete):
		fmt.Printf("not everything is back: %s\n", report.Complaints)
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(report.Paths, "of", report.Backup, "is back in", report.Target)
	}
	// Output: [css] of 2026-11-23-09:00 is back in /srv/www
}

func ExampleClone() {
	report, err := rsbtbackup.Clone(context.Background(), "/srv/backup/www", "latest~1", "/srv/www-before")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Backup, "is writable at", report.Path)
	// Output: 2026-11-22-09:00 is writable at /srv/www-before
}

func ExampleOpen() {
	f, err := rsbtbackup.Open(context.Background(), "/srv/backup/www", "2026-11-22", "index.html")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(os.Stdout, f); err != nil {
		log.Fatal(err)
	}
	// Output: It works!
}

func ExampleLs() {
	err := rsbtbackup.Ls(context.Background(), "/srv/backup/www", "latest", "/", rsbtbackup.LsOptions{}, func(e rsbtbackup.Entry) error {
		fmt.Println(e.Kind, e.Path, e.Size)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// directory css 16
	// file index.html 8
}
