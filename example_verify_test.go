package rsbtbackup_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
)

// Read what is new since the last time, and say where to get back what is damaged.
func ExampleVerify() {
	report, err := rsbtbackup.Verify(context.Background(), "/srv/backup/www", rsbtbackup.VerifyOptions{NewOnly: true})
	for _, d := range report.Damages {
		fmt.Printf("%q in %s is damaged, intact in %q\n", d.Path, d.Backup, d.Intact)
	}
	if err != nil && !errors.Is(err, rsbtbackup.ErrDamaged) {
		fmt.Println(err)
	}
	fmt.Println(len(report.Backups), "backups were read,", report.Damaged, "files are damaged")
	// Output: 2 backups were read, 0 files are damaged
}

// Watch over a destination that gets a backup every hour.
func ExampleCheck() {
	report, err := rsbtbackup.Check(context.Background(), "/srv/backup/www", rsbtbackup.CheckOptions{MaxAge: 3 * time.Hour})
	for _, r := range report.Results {
		if r.Level != rsbtbackup.CheckOK {
			fmt.Println(r.Level, r.Name, r.Text)
		}
	}
	if err == nil {
		fmt.Println("all is well")
	}
	// Output: all is well
}
