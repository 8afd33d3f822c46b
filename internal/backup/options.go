package backup

import (
	"context"
	"log/slog"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/prune"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Options are rsbtbackup.BackupOptions, where each field has its comment.
type Options struct {
	Source string
	Dest   string

	WholeFiles                   bool
	Checksum                     bool
	OneFileSystem                bool
	Filter, Exclude, ExcludeFrom []string
	ExcludeCaches                bool
	ExcludeIfPresent             []string
	Bwlimit                      string
	Rsh                          string
	Timeout                      time.Duration
	RsyncArgs                    []string
	RsyncProgram                 string

	SkipUnchanged    bool
	RefusePartial    bool
	MaxDeletePercent int
	Force            bool

	Scan string

	SnapshotSource, SnapshotNested bool
	BeforeSnapshot, AfterSnapshot  func(context.Context) error

	Prune *prune.Options

	DryRun   bool
	Changes  func(rsyncexec.Change)
	LockWait time.Duration

	Now      time.Time
	Logger   *slog.Logger
	Progress func(rsyncexec.Progress)
	Version  string
}

// normalise fills in defaults, and options that follow from others. Nothing writes to the options afterwards. now is
// the current time.
func normalise(o Options, now time.Time) Options {
	if o.Scan == "" {
		o.Scan = ScanAuto
	}
	o.DryRun = o.DryRun || rsyncexec.DryRunAsked(o.RsyncArgs)
	if o.Now.IsZero() {
		o.Now = now
	}
	return o
}

// check refuses invalid options, before anything is opened.
func (o Options) check() error {
	switch o.Scan {
	case ScanAuto, facts.ScanFull, facts.ScanWalk:
	default:
		return fail.Kindf(facts.ErrUsage, "scan %q: want auto, full or walk", o.Scan)
	}
	if o.SnapshotNested && o.OneFileSystem {
		return fail.Kindf(facts.ErrUsage, "--snapshot-nested and --one-file-system contradict each other: the second leaves nested subvolumes out")
	}
	if o.MaxDeletePercent < 0 || o.MaxDeletePercent > 100 {
		return fail.Kindf(facts.ErrUsage, "max-delete-percent %d: want 0 to 100", o.MaxDeletePercent)
	}
	if err := rsyncexec.CheckExtra(o.RsyncArgs); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	if err := source.CheckRules(o.Filter, o.ExcludeFrom, o.RsyncArgs); err != nil {
		return err
	}
	spec, err := rsyncexec.ParseSource(o.Source)
	if err != nil {
		return fail.Kindf(facts.ErrUsage, "SRC: %w", err)
	}
	if spec.Kind == rsyncexec.Local && rsyncexec.RemoteOptionAsked(o.RsyncArgs) {
		// rsync 3.2.7 then writes to a directory of a random name, and exits 0.
		return fail.Kindf(facts.ErrUsage, "--remote-option is for a remote SRC, not for a local one")
	}
	if err := o.marks().Check(spec); err != nil {
		return err
	}
	if o.Prune != nil {
		return o.Prune.Check()
	}
	return nil
}

// leftOut are the paths below SRC that rules exclude explicitly.
func (o Options) leftOut() []string { return rsyncexec.LeftOut(o.Filter, o.Exclude, o.RsyncArgs) }

// marks are the files that mark a directory to be left out.
func (o Options) marks() source.Marks {
	return source.Marks{Caches: o.ExcludeCaches, Present: o.ExcludeIfPresent}
}

// rules are the options that may leave something out of a backup.
func (o Options) rules() []string { return o.reading().Rules() }

// reading is how the source is read.
func (o Options) reading() source.Reading {
	return source.Reading{OneFS: o.OneFileSystem, Filter: o.Filter, Exclude: o.Exclude, ExcludeFrom: o.ExcludeFrom, Marks: o.marks(), Extra: o.RsyncArgs}
}
