package transfer

import (
	"cmp"
	"errors"
	"regexp"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// End is how one rsync ended, complete: nothing is added to it later.
type End struct {
	Result rsyncexec.Result
	Err    error            // from rsyncexec.Run
	Stats  *rsyncexec.Stats // nil if rsync gave none; of two runs that belong together, what both did
	// NoSpace: some message said so, whatever the exit code.
	NoSpace bool
	// Stopped: --max-delete was met, which exit 23 and 24 hide.
	Stopped bool
	// TooManyLinks counts the names that DEST could not hold as further names of a file.
	TooManyLinks int
	// Unheld are attributes that belong to a filesystem and that the destination cannot hold. Where rsync complained of
	// nothing else, Err is nil.
	Unheld []string
	// Protocol is the version that rsync speaks with a remote peer, 0 if it was not asked or did not get so far.
	Protocol int
	// Unread is what the sender could not read.
	Unread Unread
	// Kept: what is gone from the source is still there, as it could not be told from what was not read.
	Kept bool
	// ReadOnly: the daemon at the target takes nothing.
	ReadOnly bool
	// Connected: both rsyncs ran and agreed on a file list. Before that nothing is written.
	Connected bool
	// Skipped are the devices that rsync could not make.
	Skipped []string
	// Blocked are the paths where a directory could not be emptied.
	Blocked []string
	// Failed is how many files rsync complained of by name.
	Failed int
}

// After is the end of a run and of the one before it that it repeats.
func (end End) After(first End) End {
	end.Connected = end.Connected || first.Connected
	end.Stats = addUp(first.Stats, end.Stats)
	return end
}

// stoppedMessage is what rsync says of a met --max-delete, once, on stderr.
var stoppedMessage = regexp.MustCompile(`^Deletions stopped due to --max-delete limit`)

// tooManyLinks is what rsync says of a name that would be one too many of its file: btrfs holds 65,535 of them, and
// without extended inode references as many in one directory as fit into a block.
var tooManyLinks = regexp.MustCompile(`^rsync: \[\w+\] (?:link|rename) ".* failed: Too many links \(31\)$`)

// LinksLeft tells whether rsync could not make all hard links. Where such names are files of their own already it does
// not only complain (23) but gives up (13): "Hlink node data for 2 already has path" (3.5.0).
func (end End) LinksLeft() bool {
	var exit *rsyncexec.ExitError
	return end.TooManyLinks > 0 && errors.As(end.Err, &exit) && !end.NoSpace && !end.Stopped &&
		(exit.Code == rsyncexec.ExitPartial || exit.Code == rsyncexec.ExitDiagnostics) && !errors.Is(end.Err, rsyncexec.ErrStillRunning)
}

// unheldMessage is what rsync says of an attribute that the destination cannot hold.
var unheldMessage = regexp.MustCompile(`^rsync: (?:\[\w+\] )?rsync_xal_set: [lf]setxattr\(".*","([^"]+)"\) failed: (?:Operation not supported \(95\)|Invalid argument \(22\))$`)

func unheldName(line string) (name string, ok bool) {
	m := unheldMessage.FindStringSubmatch(line)
	if m == nil || !at.OfFilesystem(m[1]) {
		return "", false
	}
	return m[1], true
}

// UnheldText says what is missing, or is empty.
func (end End) UnheldText() string {
	if len(end.Unheld) == 0 {
		return ""
	}
	return "attributes that only their own filesystem can hold are left out: " + say.QuoteSome(end.Unheld)
}

// WholeSeconds tells whether the other rsync is so old that times lose their fractions on the way.
func (end End) WholeSeconds() bool { return end.Protocol > 0 && end.Protocol < rsyncexec.NanoProtocol }

// LeftOut says which devices are missing.
func (end End) LeftOut() string {
	return "only root can make devices, these are left out: " + say.QuoteSome(end.Skipped)
}

// Unstarted tells whether rsync never ran.
func (end End) Unstarted() bool {
	var alias *rsyncexec.AliasError
	for _, kind := range []error{rsyncexec.ErrNotFound, rsyncexec.ErrNotExecutable, rsyncexec.ErrRelative, rsyncexec.ErrNotRsync, rsyncexec.ErrTooOld, rsyncexec.ErrOptions} {
		if errors.Is(end.Err, kind) {
			return true
		}
	}
	return errors.As(end.Err, &alias)
}

// Useful tells whether rsync copied what it could: all, or all but what it could not read or what vanished. Only then
// is a second run of use.
func (end End) Useful() bool {
	var exit *rsyncexec.ExitError
	switch {
	case end.NoSpace, end.Stopped, errors.Is(end.Err, rsyncexec.ErrStillRunning):
		return false
	case end.Err == nil:
		return true
	case !errors.As(end.Err, &exit):
		return false
	case exit.Code == rsyncexec.ExitPartial:
		return end.Result.HaveStats && end.Result.Stats.Files > 0
	}
	return exit.Code == rsyncexec.ExitVanished
}

// Failure returns rsync's error, or text when rsync ended well.
func (end End) Failure(text string) error {
	if end.Err != nil {
		return end.Err
	}
	return errors.New(text)
}

// ConnectionLost lists the ends that, with a remote source, mean it could not be reached or was lost: the remote
// shell's own (124 and more), a refused or timed-out daemon (5, 10, 30, 35), a stream that broke (2, 12, 14: a remote
// shell that ends at once gives one or the other by chance).
func ConnectionLost(code int) bool {
	switch code {
	case 2, 5, 10, 12, 14, 30, 35:
		return true
	}
	return code >= 124
}

// connectedMessage is what --info=flist1 prints when the file list begins; "building" without incremental recursion, as
// with --files-from (rsync 3.5.0).
var connectedMessage = regexp.MustCompile(`^(sending|receiving|building) (incremental )?file list`)

// saysNoSpace tells whether a line of rsync's says that DEST is full. An attribute larger than a metadata block (16
// KiB) does not fit btrfs at all, which it says with the same errno.
func saysNoSpace(line string) bool {
	return noSpaceMessage.MatchString(line) && !strings.Contains(line, "setxattr(")
}

// noSpaceMessage matches the end of an rsync message about the destination. Exit 23 with metadata full, and 11 with
// data full, both say it this way.
var noSpaceMessage = regexp.MustCompile(`(No space left on device \(28\)|Disk quota exceeded \(122\))$`)

// MaxLogged bounds how many messages of one rsync go to the log.
const MaxLogged = 200

// addUp is what two runs of rsync did, and what there was at the end.
func addUp(first, second *rsyncexec.Stats) *rsyncexec.Stats {
	if first == nil || second == nil {
		return cmp.Or(second, first)
	}
	sum := *second
	sum.Created += first.Created
	sum.Deleted += first.Deleted
	sum.Transferred += first.Transferred
	sum.TransferredSize += first.TransferredSize
	sum.Literal += first.Literal
	sum.Matched += first.Matched
	sum.Sent += first.Sent
	sum.Received += first.Received
	return &sum
}

// FalseAlarm tells whether rsync complained of nothing but a fault of its own: with --hard-links and --acls, 3.5.0 asks
// for the default ACL of what was a directory until it made it a further name of a file, and exits 23 although all is
// copied. A second run finds nothing to do, or what is really wrong.
func FalseAlarm(end End) bool {
	if !end.Partial() {
		return false
	}
	for _, line := range end.Result.Complaints {
		if !falseAlarmMessage.MatchString(line) {
			return false
		}
	}
	return len(end.Result.Complaints) > 0
}

var falseAlarmMessage = regexp.MustCompile(`^rsync: \[generator\] get_acl: sys_acl_get_file\(.*, ACL_TYPE_DEFAULT\): Permission denied \(13\)$|^rsync error: some files/attrs were not transferred`)

// Vanished tells whether rsync copied all that was still there when it came to it.
func (end End) Vanished() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.Err, &exit) && exit.Code == rsyncexec.ExitVanished && end.Useful()
}

// Partial tells whether rsync ended by itself with exit 23, and nothing graver hides behind that: only then a second
// run is of use.
func (end End) Partial() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.Err, &exit) && exit.Code == rsyncexec.ExitPartial &&
		!end.NoSpace && !end.Stopped && !errors.Is(end.Err, rsyncexec.ErrStillRunning)
}
