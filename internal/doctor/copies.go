package doctor

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
	"github.com/rsbtbackup/rsbtbackup/internal/metrics"
)

// copies tries the target of each copy.
func copies(ctx context.Context, j config.Job) (findings []Finding) {
	for _, c := range j.Copies {
		findings = append(findings, Copy(ctx, j, c))
	}
	return findings
}

// Copy lists the backups of a target, and changes nothing. If its disk is removable and absent, that is no failure.
func Copy(ctx context.Context, j config.Job, c config.Copy) Finding {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	o := c.Options
	o.DryRun = true
	_, err := rsbtbackup.Copy(ctx, j.Backup.Dest, c.Target, nil, o)
	name := "copy " + c.Name
	var step *rsbtbackup.StepError
	switch {
	case err == nil:
		return ok(name, c.Target+" can be copied to")
	case errors.As(err, &step) && step.Step == "DEST": // that is another step
		return untried([]string{name})[0]
	case c.Removable && c.Host() == "" && jobs.DiskAbsent(c.Target, err):
		return Finding{Step: name, Level: Warning, Absent: true, Text: "its removable disk is absent: " + err.Error()}
	case !errors.Is(err, rsbtbackup.ErrNotInitialized):
		return failed(name, err, "")
	}
	path, there := strings.CutPrefix(c.Target, c.Host()+":")
	if c.Host() == "" || !there {
		return failed(name, err, "to prepare it", "rsbtbackup", "init", c.Target)
	}
	return failed(name, err, "to prepare it, on "+c.Host(), "rsbtbackup", "init", path)
}

// figures checks the directory of the file for Prometheus.
func figures(o Options) []Finding {
	if o.Textfile == "" {
		return nil
	}
	if err := metrics.Try(o.Textfile); err != nil {
		mend := ""
		if errors.Is(err, unix.ENOENT) {
			mend = "make it, or say another file: textfile in [metrics]"
		}
		return []Finding{failed("metrics", err, mend)}
	}
	return []Finding{ok("metrics", o.Textfile)}
}
