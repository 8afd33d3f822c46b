package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/tell"
)

// hooks checks the programs of the hooks.
func hooks(j config.Job) (findings []Finding) {
	h := j.Hooks
	for _, c := range slices.Concat(h.Before, h.BeforeSnapshot, h.AfterSnapshot, h.After, h.Failure, h.Finally) {
		path := c[0]
		info, err := os.Stat(path)
		switch {
		case err != nil:
			findings = append(findings, failed("hooks", err, ""))
		case !info.Mode().IsRegular() || unix.Access(path, unix.X_OK) != nil:
			findings = append(findings, failed("hooks", &fs.PathError{Op: "execute", Path: path, Err: unix.EACCES}, "", "chmod", "u+x", path))
		default:
			findings = append(findings, ok("hooks", path))
		}
	}
	return findings
}

// state checks the directory for the state of jobs, which a run creates if it can.
func state(o Options) []Finding {
	dir := o.StateDir
	for {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		if err == nil {
			return []Finding{ok("state", o.StateDir)}
		}
		if !errors.Is(err, unix.ENOENT) || dir == filepath.Dir(dir) {
			return []Finding{failed("state", &fs.PathError{Op: "write to", Path: dir, Err: err}, "say another directory: state in [run]")}
		}
		dir = filepath.Dir(dir)
	}
}

// servers tests the connection to the servers of the job.
func servers(ctx context.Context, j config.Job) (findings []Finding) {
	for _, a := range tell.Reach(ctx, j) {
		if a.Err != nil {
			findings = append(findings, failed(a.What, a.Err, ""))
		} else {
			findings = append(findings, ok(a.What, a.Host+" answers"))
		}
	}
	return findings
}

// Started says what starts the job, alone, with its group, or with all; "" if nothing does.
func Started(j config.Job, starts func(unit string) (string, error)) (string, error) {
	units := []string{"rsbtbackup-job-" + j.Name, "rsbtbackup-job-" + j.Table, "rsbtbackup-all"}
	for _, g := range j.Groups {
		units = append(units, "rsbtbackup-group-"+g)
	}
	for _, unit := range units {
		if started, err := starts(unit); err != nil || started != "" {
			return started, err
		}
	}
	return "", nil
}

// schedule checks what starts the job, and when, if the config sets that.
func schedule(j config.Job, o Options) []Finding {
	started, err := Started(j, o.Starts)
	switch {
	case err != nil:
		return []Finding{failed("schedule", err, "")}
	case started != "":
		return []Finding{ok("schedule", started)}
	}
	command := []string{"rsbtbackup", "schedule", j.Table}
	if j.Schedule.On == "" {
		command = append(command, "--on=daily")
	}
	if o.Config != "" {
		command = append(command, "--config="+o.Config)
	}
	return []Finding{{Step: "schedule", Level: Warning, Text: "nothing starts it", Mend: "to see what would be installed", Command: command}}
}
