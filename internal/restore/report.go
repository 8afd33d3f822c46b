package restore

import (
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Report is that of rsbtbackup.RestoreReport.
type Report struct {
	Dest         string
	Backup       string
	Paths        []string
	Target       string
	DryRun       bool
	Start        time.Time
	End          time.Time
	Reflinked    *facts.ReflinkStats
	RsyncVersion string
	RsyncExit    int
	Stats        *rsyncexec.Stats
	Complaints   []string
	Failed       int
	Notices      []string
}

// The report of a restore is made from the last value that it reached.

func (x asked) report() Report {
	return Report{Dest: x.o.Dest, Target: x.o.Target, DryRun: x.o.DryRun, Paths: x.paths, Notices: x.tell.Notices}
}

func (x opened) report() Report {
	r := x.asked.report()
	r.Dest, r.Backup = x.view.Store.Path, x.view.Snap.Name
	return r
}

func (x aimed) report() Report {
	r := x.opened.report()
	r.Target = x.target.shown
	return r
}

func (x copied) report() Report {
	r := x.cleared.report()
	res := x.end.Result
	r.Reflinked, r.Stats, r.RsyncExit = x.reflinked, x.end.Stats, res.ExitCode
	r.Complaints, r.Failed = x.complaints(), x.failed()
	if !res.Started.IsZero() {
		r.RsyncVersion = res.Version.String()
	}
	return r
}
