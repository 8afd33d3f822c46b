package transfer

import (
	"cmp"
	"errors"
	"log/slog"
	"regexp"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// End is all that judging depends on.
type End struct {
	Result  rsyncexec.Result
	Err     error // from rsyncexec.Run
	NoSpace bool  // some message said so, whatever the exit code
	// stopped: --max-delete was met, which exit 23 and 24 hide.
	Stopped bool
	// readOnly: the daemon at the target takes nothing.
	ReadOnly bool
	// skipped are the devices in the source that an ordinary user can not make.
	Skipped []string
	Gone    error // a local source is not the directory it was
	Remote  bool
	Resumed bool // pending holds the work of an earlier run
	// connected: both rsyncs ran and agreed on a file list. Before that
	// nothing is written.
	Connected bool
	Refuse23  bool
	Based     bool // pending began as the last backup
}

// StoppedMessage is what rsync says of it, once, on stderr.
var StoppedMessage = regexp.MustCompile(`^Deletions stopped due to --max-delete limit`)

// Idle tells that nothing was written to pending, by this run or before it.
func (end End) Idle() bool { return !end.Connected && !end.Resumed }

func (end End) LeftOut() string {
	return "only root can make devices, these are left out: " + say.QuoteSome(end.Skipped)
}

// Unstarted tells whether rsync never ran, so that pending is not worth
// keeping for having been prepared.
func (end End) Unstarted() bool {
	var alias *rsyncexec.AliasError
	for _, kind := range []error{rsyncexec.ErrNotFound, rsyncexec.ErrNotExecutable, rsyncexec.ErrRelative, rsyncexec.ErrNotRsync, rsyncexec.ErrTooOld, rsyncexec.ErrOptions} {
		if errors.Is(end.Err, kind) {
			return !end.Resumed
		}
	}
	return errors.As(end.Err, &alias) && !end.Resumed
}

// Failure returns rsync's error, or text when rsync ended well.
func (end End) Failure(text string) error {
	if end.Err != nil {
		return end.Err
	}
	return errors.New(text)
}

// ConnectionLost lists the ends that, with a remote source, mean it could not
// be reached or was lost: the remote shell's own (124 and more), a refused or
// timed-out daemon (5, 10, 30, 35), a stream that broke (2, 12, 14: a remote
// shell that ends at once gives one or the other by chance).
func ConnectionLost(code int) bool {
	switch code {
	case 2, 5, 10, 12, 14, 30, 35:
		return true
	}
	return code >= 124
}

// ConnectedMessage is what --info=flist1 prints when the file list begins.
var ConnectedMessage = regexp.MustCompile(`^(sending|receiving) (incremental )?file list`)

// NoSpace tells whether a line of rsync's says that DEST is full. An attribute
// larger than a metadata block (16 KiB) does not fit btrfs at all, which it
// says with the same errno.
func NoSpace(line string) bool {
	return noSpaceMessage.MatchString(line) && !strings.Contains(line, "setxattr(")
}

// noSpaceMessage matches the end of an rsync message about the destination.
// Exit 23 with metadata full, and 11 with data full, both say it this way.
var noSpaceMessage = regexp.MustCompile(`(No space left on device \(28\)|Disk quota exceeded \(122\))$`)

// MaxLogged bounds how many messages of one rsync go to the log.
const MaxLogged = 200

// AddUp is what two runs of rsync did, and what there was at the end.
func AddUp(first, second *rsyncexec.Stats) *rsyncexec.Stats {
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

// FalseAlarm tells whether rsync complained of nothing but a fault of its own:
// with --hard-links and --acls, 3.5.0 asks for the default ACL of what was a
// directory until it made it a further name of a file, and exits 23 although
// all is copied. A second run finds nothing to do, or what is really wrong.
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

// Partial tells whether rsync ended by itself with exit 23, and nothing graver
// hides behind that: only then a second run is of use.
func (end End) Partial() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.Err, &exit) && exit.Code == rsyncexec.ExitPartial &&
		!end.NoSpace && !end.Stopped && !errors.Is(end.Err, rsyncexec.ErrStillRunning)
}

// Messages passes the messages of one rsync on to the log, maxLogged at most.
type Messages struct {
	Log   *slog.Logger
	Names *strings.Replacer
	lines int
}

func (s *Messages) Line(text string) {
	switch s.lines++; {
	case s.lines <= MaxLogged:
		s.Log.Warn("rsync", "says", s.Names.Replace(text))
	case s.lines == MaxLogged+1:
		s.Log.Warn("further messages of rsync are left out")
	}
}

// Rename puts paths for descriptors in what rsync said, also in its error.
func (end *End) Rename(names *strings.Replacer) {
	res := &end.Result
	for i, line := range res.Complaints {
		res.Complaints[i] = names.Replace(line)
	}
	res.Tail = names.Replace(res.Tail)
	var exit *rsyncexec.ExitError
	if errors.As(end.Err, &exit) {
		exit.Complaints, exit.Tail = res.Complaints, res.Tail
	}
}
