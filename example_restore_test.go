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
		Dest:      "/backup/etc",
		Backup:    "latest",
		Paths:     []string{"ssh"},
		Target:    "/etc",
		Overwrite: rsbtbackup.OverwriteIfChanged,
	})
	switch {
	case errors.Is(err, rsbtbackup.ErrIncomplete):
		fmt.Printf("not everything is back: %s\n", report.Complaints)
	case err != nil:
		log.Fatal(err)
	}
}

func ExampleClone() {
	report, err := rsbtbackup.Clone(context.Background(), "/backup/vm", "latest~1", "/backup/vm-test")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Backup, "is writable at", report.Path)
}

func ExampleOpen() {
	f, err := rsbtbackup.Open(context.Background(), "/backup/etc", "latest", "hosts")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(os.Stdout, f); err != nil {
		log.Fatal(err)
	}
}

func ExampleLs() {
	err := rsbtbackup.Ls(context.Background(), "/backup/etc", "latest", "/", rsbtbackup.LsOptions{}, func(e rsbtbackup.Entry) error {
		fmt.Println(e.Kind, e.Path, e.Size)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
