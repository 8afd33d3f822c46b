package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// Program checks the local rsync.
func Program(ctx context.Context, j config.Job) []Finding {
	path, version, err := rsbtbackup.FindRsync(ctx, j.Backup.RsyncProgram)
	if err != nil {
		return []Finding{failed("rsync here", err, "", "apt-get", "install", "rsync")}
	}
	return []Finding{ok("rsync here", version+" ("+path+")")}
}

// rules checks the files of rules that the job needs.
func rules(j config.Job) (findings []Finding) {
	for _, name := range j.Backup.ExcludeFrom {
		if err := unix.Access(name, unix.R_OK); err != nil {
			findings = append(findings, failed("exclude-from", &fs.PathError{Op: "read", Path: name, Err: err}, ""))
		}
	}
	return findings
}

// asked are the checks of DEST that a job needs; the age of backups is checked by monitoring.
var asked = []string{"mount", "space", "metadata", "devices"}

// Dest checks DEST.
func Dest(ctx context.Context, j config.Job) []Finding {
	dest := j.Backup.Dest
	l, err := rsbtbackup.List(ctx, dest)
	switch {
	case err != nil && j.Removable && jobs.DiskAbsent(dest, err):
		return []Finding{{Step: "dest", Level: Warning, Absent: true, Text: "its removable disk is absent: " + err.Error()}}
	case errors.Is(err, rsbtbackup.ErrNotInitialized):
		return []Finding{failed("dest", err, "to prepare it", "rsbtbackup", "init", dest)}
	case errors.Is(err, rsbtbackup.ErrNotBtrfs):
		return []Finding{failed("dest", err, "it has to be on btrfs; to see where that is mounted", "findmnt", "-t", "btrfs")}
	case errors.Is(err, rsbtbackup.ErrDest):
		return []Finding{unusable("dest", dest, err)}
	case err != nil:
		return []Finding{failed("dest", err, "")}
	}
	text := fmt.Sprintf("%s has %d backups", l.Dest, len(l.Backups))
	if len(l.Backups) == 1 {
		text = l.Dest + " has 1 backup"
	}
	if l.Running {
		text += ", and one is being made"
	}
	findings := []Finding{ok("dest", text)}
	if err := unix.Access(dest, unix.W_OK); err != nil {
		findings[0] = failed("dest", &fs.PathError{Op: "write to", Path: dest, Err: err}, "to see how it is mounted, and whose it is", "findmnt", "-T", dest)
	}
	o := j.Check.Options
	report, err := rsbtbackup.Check(ctx, dest, o)
	if report == nil {
		return append(findings, failed("dest", err, ""))
	}
	for _, r := range report.Results {
		if slices.Contains(asked, r.Name) {
			findings = append(findings, ofCheck(r, dest))
		}
	}
	return findings
}

// unusable is a DEST, or the target of a copy, that is missing, or no directory.
func unusable(step, dest string, err error) Finding {
	if !errors.Is(err, fs.ErrNotExist) {
		return failed(step, err, "it has to be a directory; to see what it is", "ls", "-ld", dest)
	}
	mend, command := Missing(dest)
	return failed(step, err, mend, command...)
}

// ofCheck makes a finding from a check.
func ofCheck(r rsbtbackup.CheckResult, dest string) Finding {
	f := Finding{Step: r.Name, Level: OK, Text: r.Text}
	switch r.Level {
	case rsbtbackup.CheckWarn:
		f.Level = Warning
	case rsbtbackup.CheckFail:
		f.Level, f.Err = Failed, fmt.Errorf("%s: %s", r.Name, r.Text)
		f.Mend, f.Command = "to see all checks", []string{"rsbtbackup", "check", "-v", dest}
	}
	return f
}
