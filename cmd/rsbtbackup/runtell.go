// Reports about the jobs of a run: to servers and for Prometheus.

package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
	"github.com/rsbtbackup/rsbtbackup/internal/metrics"
	"github.com/rsbtbackup/rsbtbackup/internal/tell"
)

// telling sends the reports of a run. A nil part sends nothing. A failure is a warning.
type telling struct {
	log     *slog.Logger
	servers *tell.Teller
	figures *metrics.Textfile
}

// newTelling makes it from a config. A dry run sends no reports.
func newTelling(ctx context.Context, u *ui, read *config.Config, dryRun bool) telling {
	t := telling{log: u.log}
	if dryRun {
		return t
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	t.servers = tell.New(ctx, tell.Options{
		Host: host, Agent: "rsbtbackup/" + programVersion(), Exit: exitOf, Now: time.Now,
		Log: func(j config.Job) *slog.Logger { return u.log.With("job", j.Name) },
	})
	if file := read.Metrics.Textfile; file != "" {
		t.figures = metrics.New(file, read.Jobs, stateDir(read), time.Now)
	}
	return t
}

func (t telling) starts(j config.Job) {
	if t.servers != nil {
		t.servers.Starts(j)
	}
}

func (t telling) done(r jobs.Result) {
	if t.servers != nil {
		t.servers.Done(r)
	}
	if t.figures != nil {
		t.figures.Done(r)
	}
}

// end waits until all reports were sent.
func (t telling) end() {
	if t.figures != nil {
		if err := t.figures.Close(); err != nil {
			t.log.Warn("the metrics could not be written", "err", err)
		}
	}
	if t.servers != nil {
		t.servers.Wait()
	}
}
