// Against: comparing a backup with a source, by content.

package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// AgainstOptions are rsbtbackup.AgainstOptions, where each field has its comment.
type AgainstOptions struct {
	Backup        string
	Source        string
	OneFileSystem bool
	Filter        []string
	Exclude       []string
	ExcludeFrom   []string

	ExcludeCaches    bool
	ExcludeIfPresent []string

	Rsh          string
	Timeout      time.Duration
	RsyncProgram string
	Logger       *slog.Logger
	Progress     func(rsyncexec.Progress)
	Found        func(rsyncexec.Change)
}

// AgainstReport is rsbtbackup.AgainstReport, where each field has its comment.
type AgainstReport struct {
	Dest        string
	Backup      string
	Source      string
	Differences int
	Changes     []facts.AgainstChange
	RsyncExit   int
	Stats       *rsyncexec.Stats
	Complaints  []string
	Damaged     int
	Started     time.Time
	Ended       time.Time
}

// Against is rsbtbackup.VerifyAgainst.
func Against(ctx context.Context, dest string, o AgainstOptions) (*AgainstReport, error) {
	report := &AgainstReport{Dest: dest, Source: o.Source, Started: time.Now().UTC()}
	if o.Backup == "" {
		o.Backup = "latest"
	}
	v, err := store.OpenView(dest, o.Backup)
	if err == nil {
		report.Dest, report.Backup = v.Store.Path, v.Snap.Name
		err = errors.Join(against(v, ctx, o, report), v.Close())
	}
	if err == nil || errors.Is(err, facts.ErrDiffers) {
		err = errors.Join(err, readAgain(ctx, dest, o, report))
	}
	report.Ended = time.Now().UTC()
	return report, err
}

// readAgain reads the backup without rsync: rsync substitutes zeros for blocks it cannot read, and reports that only
// for the source.
func readAgain(ctx context.Context, dest string, o AgainstOptions, report *AgainstReport) error {
	log := store.LoggerOrSilence(o.Logger)
	read, err := Run(ctx, dest, Options{Backup: report.Backup, Logger: o.Logger, Found: func(d facts.Damage) {
		log.Error("damaged", "backup", d.Backup, "path", d.Path)
	}})
	report.Damaged = read.Damaged
	return err
}

func against(v *store.View, ctx context.Context, o AgainstOptions, report *AgainstReport) error {
	if err := source.CheckRules(o.Filter, o.ExcludeFrom, nil); err != nil {
		return fail.Step("options", err)
	}
	src, err := source.Describe(o.Source, v.Store.Path, v.Store.Dir, source.Mark{Marker: store.MarkerPath, Holder: store.HolderPath})
	if err != nil {
		return fail.Step("source", err)
	}
	if err := src.CheckDirRules(ctx, o.OneFileSystem, o.Filter, nil); err != nil {
		return fail.Step("source", err)
	}
	marks := source.Marks{Caches: o.ExcludeCaches, Present: o.ExcludeIfPresent}
	if err := marks.Check(src.Spec); err != nil {
		return fail.Step("options", err)
	}
	if err := src.FindMarked(ctx, o.OneFileSystem, marks); err != nil {
		return fail.Step("source", err)
	}
	report.Source = src.Shown
	result, err := rsyncexec.Run(ctx, againstOptions(v, o, src, report))
	report.RsyncExit, report.Complaints = result.ExitCode, result.Complaints
	if result.HaveStats {
		report.Stats = &result.Stats
	}
	if err != nil {
		return fail.Step("compare", errors.Join(err, v.Gone()))
	}
	if report.Differences > 0 {
		return fail.Step("compare", fail.Kindf(facts.ErrDiffers, "%s and %s differ in %s", v.Snap.Name, src.Shown, entries(report.Differences)))
	}
	return fail.Step("compare", v.Gone())
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// againstOptions are the options of the backup, for a dry run that reads everything.
func againstOptions(v *store.View, o AgainstOptions, src *source.Source, report *AgainstReport) rsyncexec.Options {
	opts := src.ReadOptions(source.Reading{
		UserXattrs: os.Geteuid() != 0,
		OneFS:      o.OneFileSystem, Filter: o.Filter, Exclude: o.Exclude, ExcludeFrom: o.ExcludeFrom,
		Checksum: true, Rsh: o.Rsh, Timeout: o.Timeout, Program: o.RsyncProgram, Progress: o.Progress,
	})
	stored := source.StoredAs(v.Snap)
	opts.HardLinks, opts.ACLs, opts.Xattrs = !stored.NoHardLinks, !stored.NoACLs, !stored.NoXattrs
	if stored.FakeSuper {
		opts.Extra = []string{"--fake-super"}
	}
	opts.Inplace, opts.DryRun = true, true
	opts.ExtraFiles = []*os.File{v.Root}
	log := store.LoggerOrSilence(o.Logger)
	opts.Line = func(stream, line string) {
		if stream == "stderr" {
			log.Warn("rsync", "says", line)
		}
	}
	opts.Changes = func(c rsyncexec.Change) {
		c.Path = filepath.Clean(c.Path)
		report.Differences++
		if len(report.Changes) < maxDamages {
			report.Changes = append(report.Changes, facts.AgainstChange(c))
		}
		if o.Found != nil {
			o.Found(c)
		}
	}
	return opts
}
