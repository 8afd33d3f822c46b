package transfer

import (
	"cmp"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/internal/say"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// End is how one rsync ended. It is complete: nothing is added later.
type End struct {
	Result rsyncexec.Result
	Err    error            // from rsyncexec.Run
	Stats  *rsyncexec.Stats // nil if rsync printed none; the sum if two runs belong together
	// NoSpace: a message said that no space is left, whatever the exit code.
	NoSpace bool
	// Stopped: the limit of --max-delete was reached, which exit 23 and 24 hide.
	Stopped bool
	// TooManyLinks counts the hard links that DEST could not hold.
	TooManyLinks int
	// Unheld are attributes specific to another filesystem that the destination cannot store. If rsync complained about
	// nothing else, Err is nil.
	Unheld []string
	// Oversized are attributes that are larger than the destination can store.
	Oversized []string
	// Protocol is the version of the protocol with a remote peer; 0 if rsync was not asked for it or did not connect.
	Protocol int
	// Unread is what the sender could not read.
	Unread Unread
	// Torn are files that were written in place, although the sender could not read them to the end: relative paths.
	Torn []string
	// Kept: files that are gone from the source were not deleted, because they could not be distinguished from
	// unreadable ones.
	Kept bool
	// ReadOnly: the daemon at the target accepts no writes.
	ReadOnly bool
	// Connected: both rsyncs ran and agreed on a file list. Before that nothing is written.
	Connected bool
	// Skipped are the devices that rsync could not create.
	Skipped []string
	// Blocked are the paths where a directory could not be emptied.
	Blocked []string
	// Failed is how many files rsync complained about by name.
	Failed int
}

// After combines the end of a run with that of the run before, which it repeats.
func (end End) After(first End) End {
	end.Connected = end.Connected || first.Connected
	for _, rel := range first.Torn {
		// This run had no better luck, and what it did not write in place it has discarded.
		if path := first.Unread.named(rel); slices.Contains(end.Unread.Paths, path) && !slices.Contains(end.Torn, rel) {
			end.Torn = append(end.Torn, rel)
		}
	}
	end.Stats = addUp(first.Stats, end.Stats)
	return end
}

// stoppedMessage is what rsync prints once on stderr when it reaches --max-delete.
var stoppedMessage = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^Deletions stopped due to --max-delete limit`) })

// tooManyLinks is what rsync prints when a file has too many names: btrfs allows 65,535, and without extended inode
// references in one directory only as many as fit into a block.
var tooManyLinks = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^rsync: \[\w+\] (?:link|rename) ".* failed: Too many links \(31\)$`)
})

// LinksLeft reports whether rsync could not make all hard links. If such names already are separate files, rsync does
// not only complain (23) but fails (13): "Hlink node data for 2 already has path" (3.5.0).
func (end End) LinksLeft() bool {
	var exit *rsyncexec.ExitError
	return end.TooManyLinks > 0 && errors.As(end.Err, &exit) && !end.NoSpace && !end.Stopped &&
		(exit.Code == rsyncexec.ExitPartial || exit.Code == rsyncexec.ExitDiagnostics) && !errors.Is(end.Err, rsyncexec.ErrStillRunning)
}

// unheldMessage is what rsync prints about an attribute that the destination cannot store.
var unheldMessage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^rsync: (?:\[\w+\] )?rsync_xal_set: [lf]setxattr\(".*","([^"]+)"\) failed: (?:Operation not supported \(95\)|Invalid argument \(22\))$`)
})

func unheldName(line string) (name string, ok bool) {
	m := unheldMessage().FindStringSubmatch(line)
	if m == nil || !at.OfFilesystem(m[1]) {
		return "", false
	}
	return m[1], true
}

// oversizedMessage is what rsync prints about an attribute that is too large: btrfs stores them in one block of 16 KiB,
// ext4 usually in one of 4 KiB.
var oversizedMessage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^rsync: (?:\[\w+\] )?rsync_xal_set: [lf]setxattr\(".*","([^"]+)"\) failed: (?:No space left on device \(28\)|Argument list too long \(7\))$`)
})

// UnheldTexts say which attributes are missing; hint says what to do about those that are too large.
func (end End) UnheldTexts(hint string) (texts []string) {
	if len(end.Unheld) > 0 {
		texts = append(texts, "attributes that only another type of filesystem can store are left out: "+say.QuoteSome(end.Unheld))
	}
	if len(end.Oversized) > 0 {
		texts = append(texts, "attributes that are larger than this filesystem can store are missing: "+say.QuoteSome(end.Oversized)+hint)
	}
	return texts
}

// WholeSeconds reports whether the other rsync is so old that times lose their fractions.
func (end End) WholeSeconds() bool { return end.Protocol > 0 && end.Protocol < rsyncexec.NanoProtocol }

// LeftOut says which devices are missing.
func (end End) LeftOut() string {
	return "only root can make devices, these are left out: " + say.QuoteSome(end.Skipped)
}

// Unstarted reports whether rsync never ran.
func (end End) Unstarted() bool {
	var alias *rsyncexec.AliasError
	for _, kind := range []error{rsyncexec.ErrNotFound, rsyncexec.ErrNotExecutable, rsyncexec.ErrRelative, rsyncexec.ErrNotRsync, rsyncexec.ErrTooOld, rsyncexec.ErrOptions} {
		if errors.Is(end.Err, kind) {
			return true
		}
	}
	return errors.As(end.Err, &alias)
}

// Useful reports whether rsync copied all that it could: everything except unreadable and vanished files. Only then a
// second run is useful.
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

// Failure returns rsync's error, or text if rsync exited with 0.
func (end End) Failure(text string) error {
	if end.Err != nil {
		return end.Err
	}
	return errors.New(text)
}

// ConnectionLost reports exit codes that, with a remote source, mean that it could not be reached or the connection was
// lost: those of the remote shell (124 and more), a refused or timed-out daemon (5, 10, 30, 35), a stream that broke
// (2, 12, 14: a remote shell that ends at once gives any of these).
func ConnectionLost(code int) bool {
	switch code {
	case 2, 5, 10, 12, 14, 30, 35:
		return true
	}
	return code >= 124
}

// connectedMessage is what --info=flist1 prints when the file list begins; "building" without incremental recursion, as
// with --files-from (rsync 3.5.0).
var connectedMessage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(sending|receiving|building) (incremental )?file list`)
})

// saysNoSpace reports whether a line of rsync says that DEST is full. btrfs returns the same errno for an attribute
// larger than a metadata block (16 KiB), which it cannot store.
func saysNoSpace(line string) bool {
	return noSpaceMessage().MatchString(line) && !strings.Contains(line, "setxattr(")
}

// noSpaceMessage matches the end of an rsync message about the destination. It comes with exit 23 if metadata space is
// full, and with 11 if data space is.
var noSpaceMessage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(No space left on device \(28\)|Disk quota exceeded \(122\))$`)
})

// broken reports that the connection between rsync's own processes broke. Its sender may end with that before it gets
// the receiver's message (3.5.0), which is about a full disk as a rule.
func (end End) broken() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.Err, &exit) && (exit.Code == rsyncexec.ExitSocketIO || exit.Code == rsyncexec.ExitStreamIO)
}

// isFull reports whether dir takes no further file of 1 MiB.
func isFull(dir *os.File) bool {
	const size = 1 << 20
	probe, err := at.Open(dir, ".", unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	if err != nil {
		return fail.IsFull(err)
	}
	defer probe.Close()
	return fail.IsFull(at.Retry(func() error { return unix.Fallocate(int(probe.Fd()), 0, 0, size) }))
}

// MaxLogged limits how many messages of one rsync are logged.
const MaxLogged = 200

// addUp adds what two runs of rsync did, and takes the totals of the second.
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

// FalseAlarm reports whether rsync's only complaint is due to its own bug: with --hard-links and --acls, 3.5.0 reads
// the default ACL of a path that it has just changed from a directory to a hard link, and exits with 23 although
// everything is copied. A second run finds nothing to do, or the real fault.
func FalseAlarm(end End) bool {
	if !end.Partial() {
		return false
	}
	for _, line := range end.Result.Complaints {
		if !falseAlarmMessage().MatchString(line) {
			return false
		}
	}
	return len(end.Result.Complaints) > 0
}

var falseAlarmMessage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^rsync: \[generator\] get_acl: sys_acl_get_file\(.*, ACL_TYPE_DEFAULT\): Permission denied \(13\)$|^rsync error: some files/attrs were not transferred`)
})

// Vanished reports whether rsync copied everything except files that vanished meanwhile.
func (end End) Vanished() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.Err, &exit) && exit.Code == rsyncexec.ExitVanished && end.Useful()
}

// Partial reports whether rsync exited with 23 and that hides no graver error: only then a second run is useful.
func (end End) Partial() bool {
	var exit *rsyncexec.ExitError
	return errors.As(end.Err, &exit) && exit.Code == rsyncexec.ExitPartial &&
		!end.NoSpace && !end.Stopped && !errors.Is(end.Err, rsyncexec.ErrStillRunning)
}
