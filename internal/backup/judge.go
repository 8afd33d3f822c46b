// Judging a transfer: what rsync's exit means for the backup.

package backup

import (
	"errors"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/internal/transfer"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// verdict is what to do with pending after rsync has ended.
type verdict struct {
	status facts.Status // of the backup to publish; empty: nothing is published
	notice string       // for the user although the backup is published
	drop   bool         // pending must not be resumed
	err    error        // why nothing is published
}

// circumstances is what the verdict depends on besides rsync's end.
type circumstances struct {
	src          *source.Source
	gone         error           // a local source is no longer the same directory
	base, newest *facts.Snapshot // the base of pending, and the last backup; nil if there is none
	baseEmpty    bool            // newest is empty
	maxDelete    int             // as in the plan
	resumed      bool            // pending holds the work of an earlier run
	tookDest     error           // rules included DEST again
	refuse23     bool
	force        bool
}

// judge decides what to do with pending. It is pure. Exit codes are those of rsync(1); their real causes were tested
// with rsync 3.5.0.
func judge(end transfer.End, c circumstances) verdict {
	v := judgeEnd(end, c)
	if v.err != nil {
		return v
	}
	if err := emptied(c.src, end.Result.Stats.Files, c.newest, c.baseEmpty, c.force); err != nil {
		return verdict{err: err, drop: true, notice: v.notice}
	}
	if c.tookDest != nil {
		return verdict{err: c.tookDest, drop: true, notice: v.notice}
	}
	return v
}

func judgeEnd(end transfer.End, c circumstances) verdict {
	if errors.Is(end.Err, rsyncexec.ErrStillRunning) {
		return verdict{err: end.Err} // a process still writes, whatever the exit status
	}
	if end.NoSpace {
		return verdict{err: fail.Kind(facts.ErrNoSpace, end.Failure("rsync: no space left on device"))}
	}
	if end.Stopped {
		return verdict{err: tooManyDeletes(c.src, c.base, c.maxDelete), drop: true}
	}
	var exit *rsyncexec.ExitError
	if end.Err != nil && !errors.As(end.Err, &exit) {
		return verdict{err: end.Err, drop: end.Unstarted() && !c.resumed}
	}
	if c.gone != nil {
		return verdict{err: c.gone}
	}
	if len(end.Skipped) > 0 && (exit == nil || exit.Code == rsyncexec.ExitVanished) {
		return judgeSkipped(end, c)
	}
	if exit == nil {
		return verdict{status: facts.Complete}
	}
	return judgeExit(end, exit.Code, c)
}

func judgeExit(end transfer.End, code int, c circumstances) verdict {
	idle := !end.Connected && !c.resumed // nothing was written to pending, by this run or before it
	switch code {
	case rsyncexec.ExitVanished:
		return verdict{status: facts.Complete, notice: "some files vanished from the source while it was read (rsync exit 24)"}
	case rsyncexec.ExitPartial:
		return judgePartial(end, c)
	case rsyncexec.ExitMaxDelete:
		return verdict{err: tooManyDeletes(c.src, c.base, c.maxDelete), drop: true}
	case rsyncexec.ExitSyntax:
		return verdict{err: fail.Kind(facts.ErrUsage, end.Err), drop: idle}
	}
	if !c.src.Local() && transfer.ConnectionLost(code) {
		return verdict{err: fail.Kind(facts.ErrSource, end.Err), drop: idle}
	}
	return verdict{err: end.Err, drop: idle}
}

// judgePartial is for exit 23. A missing source causes it too: then rsync has listed nothing, not even the top
// directory.
func judgePartial(end transfer.End, c circumstances) verdict {
	if !end.Result.HaveStats || end.Result.Stats.Files == 0 {
		return verdict{err: fail.Kind(facts.ErrSource, end.Err), drop: end.Result.HaveStats && !c.resumed}
	}
	if c.refuse23 {
		return verdict{err: end.Err}
	}
	return verdict{status: facts.Incomplete, notice: "rsync could not read everything (exit 23)" + end.KeptText(c.base != nil)}
}

func judgeSkipped(end transfer.End, c circumstances) verdict {
	if c.refuse23 {
		return verdict{err: errors.New(end.LeftOut())}
	}
	return verdict{status: facts.Incomplete, notice: end.LeftOut()}
}
