package backup

import (
	"errors"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Report is rsbtbackup.Report, where each field has its comment.
type Report struct {
	Dest         string
	Source       string
	Name         string
	Status       facts.Status
	Base         string
	Resumed      bool
	Skipped      bool
	DryRun       bool
	Started      time.Time
	Ended        time.Time
	RsyncVersion string
	RsyncExit    int
	Stats        *rsyncexec.Stats
	AddedBytes   *uint64
	Scan         *facts.Scan
	Complaints   []string
	Notices      []string
	Repairs      []string
	Prune        *prune.Report
}

// The report of a run is made from its last value.

func (o Options) report() Report {
	return Report{Dest: o.Dest, Source: o.Source, DryRun: o.DryRun, Started: o.Now.UTC()}
}

func (x opened) report() Report {
	r := x.o.report()
	r.Dest, r.Notices, r.Repairs = x.dest.Path, x.tell.Notices, x.tell.Repairs
	return r
}

func (x looked) report() Report {
	r := x.opened.report()
	r.Source = x.src.Shown
	return r
}

func (x planned) report() Report {
	r := x.read.report()
	r.Base, r.Resumed = x.plan.baseName(), x.plan.work == store.WorkResume
	return r
}

func (x transferred) report() Report {
	r := x.filled.report()
	res := x.end.Result
	r.RsyncVersion, r.RsyncExit, r.Complaints, r.Stats = res.Version.String(), res.ExitCode, res.Complaints, x.end.Stats
	return r
}

func (x published) report() Report {
	r := x.judged.report()
	r.AddedBytes, r.Scan = x.added, x.scan
	if x.name != "" {
		r.Name, r.Status = x.name, x.verdict.status
	}
	return r
}

func (x equipped) logStart() {
	r := x.report()
	x.tell.Log.Info("backup started", "source", r.Source, "dest", r.Dest, "name", x.plan.naming.Name, "base", r.Base, "resumed", r.Resumed)
}

func logEnd(log *slog.Logger, r Report, err error) {
	if err != nil && !errors.Is(err, facts.ErrIncomplete) {
		log.Error("backup failed", "error", err)
		return
	}
	if r.Skipped {
		log.Info("nothing has changed, nothing is published", "since", r.Base)
		return
	}
	attrs := []any{"name", r.Name, "status", r.Status}
	if s := r.Stats; s != nil {
		attrs = append(attrs, "files", s.Files, "transferred", s.Transferred, "deleted", s.Deleted, "bytes", s.Literal)
	}
	log.Info("backup finished", attrs...)
}
