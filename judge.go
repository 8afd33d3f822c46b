// Judging a transfer: what rsync's end means for the backup.

package rsbtbackup

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// verdict is what becomes of pending after rsync has ended.
type verdict struct {
	status Status // of the backup to publish; empty: nothing is published
	notice string // worth telling although the backup is published
	drop   bool   // pending must not be resumed
	err    error  // why nothing is published
}

// transferEnd is all that judging depends on.
type transferEnd struct {
	result  rsyncexec.Result
	err     error // from rsyncexec.Run
	noSpace bool  // some message said so, whatever the exit code
	// stopped: --max-delete was met, which exit 23 and 24 hide.
	stopped bool
	// readOnly: the daemon at the target takes nothing.
	readOnly bool
	// skipped are the devices in the source that an ordinary user can not make.
	skipped []string
	gone    error // a local source is not the directory it was
	remote  bool
	resumed bool // pending holds the work of an earlier run
	// connected: both rsyncs ran and agreed on a file list. Before that
	// nothing is written.
	connected bool
	refuse23  bool
	based     bool // pending began as the last backup
}

// errMaxDelete: rsync has deleted as much as it was allowed to, and not all.
var errMaxDelete = errors.New("more was to be deleted than is allowed")

// stoppedMessage is what rsync says of it, once, on stderr.
var stoppedMessage = regexp.MustCompile(`^Deletions stopped due to --max-delete limit`)

// judge is pure. Exit codes are those of rsync(1); what each cause really
// gives was tried out on rsync 3.5.0.
func judge(end transferEnd) verdict {
	if errors.Is(end.err, rsyncexec.ErrStillRunning) {
		return verdict{err: end.err} // whatever it exited with: something still writes
	}
	if end.noSpace {
		return verdict{err: kindError{ErrNoSpace, end.failure("rsync: no space left on device")}}
	}
	if end.stopped {
		return verdict{err: errMaxDelete, drop: true}
	}
	var exit *rsyncexec.ExitError
	if end.err != nil && !errors.As(end.err, &exit) {
		return verdict{err: end.err, drop: end.unstarted()}
	}
	if end.gone != nil {
		return verdict{err: end.gone}
	}
	if len(end.skipped) > 0 && (exit == nil || exit.Code == rsyncexec.ExitVanished) {
		return judgeSkipped(end)
	}
	if exit == nil {
		return verdict{status: Complete}
	}
	switch exit.Code {
	case rsyncexec.ExitVanished:
		return verdict{status: Complete, notice: "some files vanished from the source while it was read (rsync exit 24)"}
	case rsyncexec.ExitPartial:
		return judgePartial(end)
	case rsyncexec.ExitMaxDelete:
		return verdict{err: errMaxDelete, drop: true}
	case rsyncexec.ExitSyntax:
		return verdict{err: kindError{ErrUsage, end.err}, drop: end.idle()}
	}
	if end.remote && connectionLost(exit.Code) {
		return verdict{err: kindError{ErrSource, end.err}, drop: end.idle()}
	}
	return verdict{err: end.err, drop: end.idle()}
}

// idle tells that nothing was written to pending, by this run or before it.
func (end transferEnd) idle() bool { return !end.connected && !end.resumed }

// judgePartial is exit 23. A source that is missing gives it too: then rsync
// has listed nothing at all, not even the top directory.
func judgePartial(end transferEnd) verdict {
	if !end.result.HaveStats || end.result.Stats.Files == 0 {
		return verdict{err: kindError{ErrSource, end.err}, drop: end.result.HaveStats && !end.resumed}
	}
	if end.refuse23 {
		return verdict{err: end.err}
	}
	notice := "rsync could not read everything (exit 23)"
	if end.based && slices.ContainsFunc(end.result.Complaints, unreadDir.MatchString) {
		notice += "; of a directory that it could not read, this backup has what the last one has, but for hard links, set-id bits and devices"
	}
	return verdict{status: Incomplete, notice: notice}
}

// unreadDir is a complaint about a whole directory. What prepare.go has changed
// below it, rsync does not put right.
var unreadDir = regexp.MustCompile(`^rsync: (\[\w+\] )?opendir "`)

func judgeSkipped(end transferEnd) verdict {
	if end.refuse23 {
		return verdict{err: errors.New(end.leftOut())}
	}
	return verdict{status: Incomplete, notice: end.leftOut()}
}

func (end transferEnd) leftOut() string {
	return "only root can make devices, these are left out: " + quoteSome(end.skipped)
}

// unstarted tells whether rsync never ran, so that pending is not worth
// keeping for having been prepared.
func (end transferEnd) unstarted() bool {
	var alias *rsyncexec.AliasError
	for _, kind := range []error{rsyncexec.ErrNotFound, rsyncexec.ErrNotExecutable, rsyncexec.ErrRelative, rsyncexec.ErrNotRsync, rsyncexec.ErrTooOld, rsyncexec.ErrOptions} {
		if errors.Is(end.err, kind) {
			return !end.resumed
		}
	}
	return errors.As(end.err, &alias) && !end.resumed
}

// failure returns rsync's error, or text when rsync ended well.
func (end transferEnd) failure(text string) error {
	if end.err != nil {
		return end.err
	}
	return errors.New(text)
}

// connectionLost lists the ends that, with a remote source, mean it could not
// be reached or was lost: the remote shell's own (124 and more), a refused or
// timed-out daemon (5, 10, 30, 35), a stream that broke (2, 12, 14: a remote
// shell that ends at once gives one or the other by chance).
func connectionLost(code int) bool {
	switch code {
	case 2, 5, 10, 12, 14, 30, 35:
		return true
	}
	return code >= 124
}

// connectedMessage is what --info=flist1 prints when the file list begins.
var connectedMessage = regexp.MustCompile(`^(sending|receiving) (incremental )?file list`)

// noSpace tells whether a line of rsync's says that DEST is full. An attribute
// larger than a metadata block (16 KiB) does not fit btrfs at all, which it
// says with the same errno.
func noSpace(line string) bool {
	return noSpaceMessage.MatchString(line) && !strings.Contains(line, "setxattr(")
}

// noSpaceMessage matches the end of an rsync message about the destination.
// Exit 23 with metadata full, and 11 with data full, both say it this way.
var noSpaceMessage = regexp.MustCompile(`(No space left on device \(28\)|Disk quota exceeded \(122\))$`)
