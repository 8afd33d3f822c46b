// Reports: what a backup tells its caller, its log and its record.

package backup

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Report is what a backup did.
type Report struct {
	Dest   string `json:"dest"`
	Source string `json:"source"`
	// Name of the new backup; empty in a dry run and when none was published.
	Name         string           `json:"name,omitempty"`
	Status       facts.Status     `json:"status,omitempty"`
	Base         string           `json:"base,omitempty"` // the backup it is incremental on
	Resumed      bool             `json:"resumed"`
	DryRun       bool             `json:"dry_run"`
	Started      time.Time        `json:"started"`
	Ended        time.Time        `json:"ended"`
	RsyncVersion string           `json:"rsync_version,omitempty"`
	RsyncExit    int              `json:"rsync_exit"`
	Stats        *rsyncexec.Stats `json:"stats,omitempty"`
	// AddedBytes is the file data on disk that earlier backups do not share;
	// nil without root, whom alone the kernel tells.
	AddedBytes *uint64       `json:"added_bytes,omitempty"`
	Complaints []string      `json:"complaints,omitempty"` // the first messages of rsync
	Notices    []string      `json:"notices,omitempty"`
	Repairs    []string      `json:"repairs,omitempty"`
	Prune      *prune.Report `json:"prune,omitempty"`
}

// incomplete is the error of a backup published with something missing.
func (r *run) incomplete() error {
	text := "rsync could not read everything"
	if len(r.report.Complaints) > 0 {
		text += ": " + r.report.Complaints[0] + say.AndMore(r.failed)
	}
	return fail.Kindf(facts.ErrIncomplete, "%s is %w: %s", r.report.Name, facts.ErrIncomplete, text)
}

// measure finds out what the backup adds on disk. All of it has been written
// out, so the extents are there to be counted. It is a figure, nothing to fail
// for.
func (r *run) measure(pending *os.File) {
	var since uint64
	if r.plan.base != nil {
		since = r.plan.base.Generation
	}
	added, err := btrfs.AddedBytes(pending, since)
	switch {
	case errors.Is(err, unix.EPERM):
	case err != nil:
		r.notice(fmt.Sprintf("what the backup adds on disk is unknown: %v", err))
	default:
		r.report.AddedBytes = &added
	}
}

func (r *run) record(v verdict) facts.Record {
	host, err := os.Hostname()
	if err != nil {
		r.log.Warn("host name unknown", "error", err)
	}
	return facts.Record{
		Version: 1, Status: v.status,
		Source: r.src.Shown, SourceBytes: facts.InvalidUTF8(r.src.Shown), SourceFS: r.src.Identity, Mounts: r.src.Mounts, Host: host,
		Started: r.o.Now.UTC(), Ended: time.Now().UTC(),
		Base: r.report.Base, Resumed: r.report.Resumed, Rules: rules(&r.o),
		RsbtbackupVersion: r.o.Version, RsyncVersion: r.report.RsyncVersion,
		RsyncExit: r.report.RsyncExit, Stats: r.report.Stats, AddedBytes: r.report.AddedBytes, Notices: r.report.Notices,
	}
}

func (r *run) logEnd(err error) {
	if err != nil && !errors.Is(err, facts.ErrIncomplete) {
		r.log.Error("backup failed", "error", err)
		return
	}
	attrs := []any{"name", r.report.Name, "status", r.report.Status}
	if s := r.report.Stats; s != nil {
		attrs = append(attrs, "files", s.Files, "transferred", s.Transferred, "deleted", s.Deleted, "bytes", s.Literal)
	}
	r.log.Info("backup finished", attrs...)
}
