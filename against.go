// Against: comparing a backup with a source, by content.

package rsbtbackup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// ErrDiffers: a backup and a source are not the same.
var ErrDiffers = errors.New("not the same as the source")

// AgainstOptions are the options of VerifyAgainst. What Backup was told to
// leave out has to be left out here, too.
type AgainstOptions struct {
	Backup string // as in Delete; "" is the newest one
	// Source is what to compare with, as in BackupOptions.
	Source        string
	OneFileSystem bool
	Filter        []string
	Exclude       []string
	ExcludeFrom   []string
	Rsh           string
	Timeout       time.Duration
	RsyncProgram  string
	Logger        *slog.Logger
	Progress      func(rsyncexec.Progress)
	// Found is called for each difference: what rsync would do to the backup to
	// make it the same as the source. "*deleting" is what only the backup has.
	Found func(rsyncexec.Change)
}

// AgainstReport says what VerifyAgainst compared.
type AgainstReport struct {
	Dest   string `json:"dest"`
	Backup string `json:"backup"`
	Source string `json:"source"`
	// Differences is how many entries differ. Changes has the first 1,000.
	Differences int              `json:"differences"`
	Changes     []AgainstChange  `json:"changes"`
	RsyncExit   int              `json:"rsync_exit"`
	Stats       *rsyncexec.Stats `json:"stats,omitempty"`
	Complaints  []string         `json:"complaints,omitempty"`
	Damaged     int              `json:"damaged"` // as in VerifyReport
	Started     time.Time        `json:"started"` // UTC
	Ended       time.Time        `json:"ended"`   // UTC
}

// AgainstChange is a Change with names for JSON.
type AgainstChange struct {
	Code string `json:"code"`
	Path string `json:"path"`
}

// VerifyAgainst compares a backup with a source, file by file: contents by
// checksum, and every attribute a backup keeps. It is rsync that compares, and
// nothing is changed on either side. Then the backup is read once more, as Verify
// does and with what that writes down, since rsync takes zeros for what the disk
// refuses. What changed in the source since the backup shows as a difference,
// like anything else.
//
// Errors match ErrDiffers, ErrDamaged, ErrUnread, ErrNoBackup, ErrAmbiguous,
// ErrSource, ErrUsage, or those of List; what rsync could not read is an error as
// well. The report is valid with any error.
func VerifyAgainst(ctx context.Context, dest string, o AgainstOptions) (*AgainstReport, error) {
	report := &AgainstReport{Dest: dest, Source: o.Source, Started: now(time.Time{})}
	if o.Backup == "" {
		o.Backup = "latest"
	}
	v, err := openView(dest, o.Backup)
	if err == nil {
		report.Dest, report.Backup = v.store.path, v.snap.Name
		err = errors.Join(v.against(ctx, o, report), v.close())
	}
	if err == nil || errors.Is(err, ErrDiffers) {
		err = errors.Join(err, readAgain(ctx, dest, o, report))
	}
	report.Ended = now(time.Time{})
	return report, err
}

// readAgain reads the backup without rsync, which takes zeros for what it can
// not read, and says so of the source alone.
func readAgain(ctx context.Context, dest string, o AgainstOptions, report *AgainstReport) error {
	log := loggerOrSilence(o.Logger)
	read, err := Verify(ctx, dest, VerifyOptions{Backup: report.Backup, Logger: o.Logger, Found: func(d Damage) {
		log.Error("damaged", "backup", d.Backup, "path", d.Path)
	}})
	report.Damaged = read.Damaged
	return err
}

func (v *view) against(ctx context.Context, o AgainstOptions, report *AgainstReport) error {
	if err := checkRules(o.Filter, o.ExcludeFrom, nil); err != nil {
		return step("options", err)
	}
	src, err := describeSource(o.Source, v.store.path, v.store.dir)
	if err != nil {
		return step("source", err)
	}
	report.Source = src.shown
	result, err := rsyncexec.Run(ctx, v.againstOptions(o, src, report))
	report.RsyncExit, report.Complaints = result.ExitCode, result.Complaints
	if result.HaveStats {
		report.Stats = &result.Stats
	}
	if err != nil {
		return step("compare", errors.Join(err, v.gone()))
	}
	if report.Differences > 0 {
		return step("compare", failf(ErrDiffers, "%s and %s differ in %s", v.snap.Name, src.shown, entries(report.Differences)))
	}
	return step("compare", v.gone())
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// againstOptions are those of the backup, in a dry run that reads everything.
func (v *view) againstOptions(o AgainstOptions, src *source, report *AgainstReport) rsyncexec.Options {
	opts := src.readOptions(reading{
		oneFS: o.OneFileSystem, filter: o.Filter, exclude: o.Exclude, excludeFrom: o.ExcludeFrom,
		checksum: true, rsh: o.Rsh, timeout: o.Timeout, program: o.RsyncProgram, progress: o.Progress,
	})
	opts.Inplace, opts.DryRun = true, true
	opts.ExtraFiles = []*os.File{v.root}
	log := loggerOrSilence(o.Logger)
	opts.Line = func(stream, line string) {
		if stream == "stderr" {
			log.Warn("rsync", "says", line)
		}
	}
	opts.Changes = func(c rsyncexec.Change) {
		c.Path = filepath.Clean(c.Path)
		report.Differences++
		if len(report.Changes) < maxDamages {
			report.Changes = append(report.Changes, AgainstChange(c))
		}
		if o.Found != nil {
			o.Found(c)
		}
	}
	return opts
}
