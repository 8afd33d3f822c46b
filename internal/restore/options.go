package restore

import (
	"log/slog"
	"slices"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/store"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Options are those of rsbtbackup.RestoreOptions, where each has its comment.
type Options struct {
	Dest   string
	Backup string
	Paths  []string

	Target  string
	InPlace bool

	Overwrite facts.Overwrite
	Delete    bool
	Exclude   []string
	Force     bool
	NoReflink bool

	Bwlimit      string
	Rsh          string
	Timeout      time.Duration
	RsyncProgram string

	DryRun   bool
	Changes  func(rsyncexec.Change)
	Progress func(rsyncexec.Progress)
	Logger   *slog.Logger
}

// check refuses invalid options, and returns the paths, clean, without paths below others.
func (o Options) check() ([]string, error) {
	switch {
	case o.InPlace && o.Target != "":
		return nil, fail.Kindf(facts.ErrUsage, "both a target and in place are given")
	case !o.InPlace && o.Target == "":
		return nil, fail.Kindf(facts.ErrUsage, "no target is given")
	}
	switch o.Overwrite {
	case "", facts.OverwriteAlways, facts.OverwriteIfChanged, facts.OverwriteIfNewer, facts.OverwriteNever:
	default:
		return nil, fail.Kindf(facts.ErrUsage, "overwrite %q: want always, if-changed, if-newer or never", o.Overwrite)
	}
	return cleanPaths(o.Paths)
}

// cleanPaths sorts the paths, and drops those below others. None means everything, and so does the root.
func cleanPaths(paths []string) ([]string, error) {
	var clean []string
	for _, path := range paths {
		rel, err := store.BackupPath(path)
		if err != nil {
			return nil, err
		}
		clean = append(clean, rel)
	}
	if slices.Contains(clean, ".") {
		return nil, nil
	}
	slices.Sort(clean)
	kept := []string{}
	for _, path := range slices.Compact(clean) {
		if !at.Covered(path, kept) { // what it lies below comes before it
			kept = append(kept, path)
		}
	}
	return kept, nil
}
