package source

import (
	"context"
	"errors"
	"os"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Try lets rsync list src, without anything below it, with the program, shell, timeout and further options of o. This
// needs both ends to run and agree; nothing is transferred.
func Try(ctx context.Context, src string, o rsyncexec.Options) (err error) {
	if o.Source, err = rsyncexec.ParseSource(src); err != nil {
		return fail.Kindf(facts.ErrUsage, "SRC: %w", err)
	}
	if o.Source.Kind == rsyncexec.Local {
		s := Source{Spec: o.Source}
		if err := s.look(); err != nil {
			return fail.Kind(facts.ErrSource, err)
		}
	}
	if err := rsyncexec.CheckExtra(o.Extra); err != nil {
		return fail.Kind(facts.ErrUsage, err)
	}
	if o.Dest, err = os.MkdirTemp("", "rsbtbackup-try-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(o.Dest)) }()
	o.DryRun, o.Exclude = true, []string{"/*"}
	_, err = rsyncexec.Run(ctx, o)
	var exit *rsyncexec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return fail.Kind(facts.ErrSource, err)
	}
	return err
}
