// Trying the copies of a job, for rsbtbackup config check --online.

package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// tryTime is how long reaching a target may take.
const tryTime = 30 * time.Second

// tryCopies asks each target what it has, and changes nothing. A disk that may be absent is no mistake.
func tryCopies(ctx context.Context, j config.Job) []tryObject {
	var all []tryObject
	for _, c := range j.Copies {
		all = append(all, tryCopy(ctx, j, c))
	}
	return all
}

func tryCopy(ctx context.Context, j config.Job, c config.Copy) tryObject {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	o := c.Options
	o.DryRun = true
	_, err := rsbtbackup.Copy(ctx, j.Backup.Dest, c.Target, nil, o)
	var step *rsbtbackup.StepError
	if errors.As(err, &step) && step.Step == "DEST" || c.Removable && c.Host() == "" && jobs.DiskAbsent(err) {
		err = nil // said of DEST already
	}
	hint := ""
	if errors.Is(err, rsbtbackup.ErrNotInitialized) {
		_, path, remote := strings.Cut(c.Target, c.Host()+":")
		if hint = "to prepare it"; remote && c.Host() != "" {
			hint += ", on " + c.Host()
		} else {
			path = c.Target
		}
		hint += ": " + quoteAll("rsbtbackup", "init", path)
	}
	try := tryObject{Type: "try", Job: j.Name, What: "copy " + c.Name + " " + c.Target, OK: err == nil}
	if err != nil {
		try.Exit, try.Error, try.Hint = exitCode(err), oneLine(err), hint
	}
	return try
}
