// Judging a transfer: what rsync's end means for the backup.

package backup

import (
	"errors"
	"regexp"
	"slices"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// verdict is what becomes of pending after rsync has ended.
type verdict struct {
	status facts.Status // of the backup to publish; empty: nothing is published
	notice string       // worth telling although the backup is published
	drop   bool         // pending must not be resumed
	err    error        // why nothing is published
}

// errMaxDelete: rsync has deleted as much as it was allowed to, and not all.
var errMaxDelete = errors.New("more was to be deleted than is allowed")

// judge is pure. Exit codes are those of rsync(1); what each cause really
// gives was tried out on rsync 3.5.0.
func judge(end transfer.End) verdict {
	if errors.Is(end.Err, rsyncexec.ErrStillRunning) {
		return verdict{err: end.Err} // whatever it exited with: something still writes
	}
	if end.NoSpace {
		return verdict{err: fail.Kind(facts.ErrNoSpace, end.Failure("rsync: no space left on device"))}
	}
	if end.Stopped {
		return verdict{err: errMaxDelete, drop: true}
	}
	var exit *rsyncexec.ExitError
	if end.Err != nil && !errors.As(end.Err, &exit) {
		return verdict{err: end.Err, drop: end.Unstarted()}
	}
	if end.Gone != nil {
		return verdict{err: end.Gone}
	}
	if len(end.Skipped) > 0 && (exit == nil || exit.Code == rsyncexec.ExitVanished) {
		return judgeSkipped(end)
	}
	if exit == nil {
		return verdict{status: facts.Complete}
	}
	switch exit.Code {
	case rsyncexec.ExitVanished:
		return verdict{status: facts.Complete, notice: "some files vanished from the source while it was read (rsync exit 24)"}
	case rsyncexec.ExitPartial:
		return judgePartial(end)
	case rsyncexec.ExitMaxDelete:
		return verdict{err: errMaxDelete, drop: true}
	case rsyncexec.ExitSyntax:
		return verdict{err: fail.Kind(facts.ErrUsage, end.Err), drop: end.Idle()}
	}
	if end.Remote && transfer.ConnectionLost(exit.Code) {
		return verdict{err: fail.Kind(facts.ErrSource, end.Err), drop: end.Idle()}
	}
	return verdict{err: end.Err, drop: end.Idle()}
}

// judgePartial is exit 23. A source that is missing gives it too: then rsync
// has listed nothing at all, not even the top directory.
func judgePartial(end transfer.End) verdict {
	if !end.Result.HaveStats || end.Result.Stats.Files == 0 {
		return verdict{err: fail.Kind(facts.ErrSource, end.Err), drop: end.Result.HaveStats && !end.Resumed}
	}
	if end.Refuse23 {
		return verdict{err: end.Err}
	}
	notice := "rsync could not read everything (exit 23)"
	if end.Based && slices.ContainsFunc(end.Result.Complaints, unreadDir.MatchString) {
		notice += "; of a directory that it could not read, this backup has what the last one has, but for hard links, set-id bits and devices"
	}
	return verdict{status: facts.Incomplete, notice: notice}
}

// unreadDir is a complaint about a whole directory. What prepare.go has changed
// below it, rsync does not put right.
var unreadDir = regexp.MustCompile(`^rsync: (\[\w+\] )?opendir "`)

func judgeSkipped(end transfer.End) verdict {
	if end.Refuse23 {
		return verdict{err: errors.New(end.LeftOut())}
	}
	return verdict{status: facts.Incomplete, notice: end.LeftOut()}
}
