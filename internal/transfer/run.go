package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Job is one rsync to run.
type Job struct {
	Options rsyncexec.Options // all but Line
	Names   *strings.Replacer // from the paths of our descriptors to those that the user knows
	Log     *slog.Logger
	// Peer, if set, names the other end in errors.
	Peer string
	// Devices: rsync cannot create devices, and those that it skips are listed in End.
	Devices bool
	// Aloud also passes on rsync's stdout: the output of a dry run.
	Aloud bool
	// Into is the local directory that rsync writes to, if all of its processes run here.
	Into *os.File
}

// Run runs one rsync to its end, and reads its messages.
func Run(ctx context.Context, j Job) End {
	l := &listener{job: j, said: messages{log: j.Log, names: j.Names}, failed: newFailedFiles()}
	opts := j.Options
	opts.Line = func(stream, line string) {
		// rsync's messages about being stopped are not logged.
		if l.hear(stream, line) && ctx.Err() == nil {
			l.said.line(line)
		}
	}
	result, err := rsyncexec.Run(ctx, opts)
	end := l.end(result, err)
	if j.Into != nil && !end.NoSpace && end.broken() && isFull(j.Into) {
		end.NoSpace, end.Err = true, fmt.Errorf("no space left on device: %w", end.Err)
	}
	return end
}

// listener collects the messages of one rsync.
type listener struct {
	job    Job
	said   messages
	failed *failedFiles
	heard  End
	wrong  int // messages that are not about attributes that cannot be stored
}

// end returns everything collected, with how rsync ended.
func (l *listener) end(result rsyncexec.Result, err error) End {
	end := l.heard
	end.Result, end.Err = result, err
	end.rename(l.job.Names)
	if end.Partial() && len(end.Unheld) > 0 && l.wrong == 0 && end.TooManyLinks == 0 {
		end.Err = nil
	}
	if end.Err != nil && l.job.Peer != "" {
		end.Err = fmt.Errorf("%s: %w", l.job.Peer, end.Err)
	}
	if result.HaveStats {
		end.Stats = &end.Result.Stats
	}
	end.Failed = len(l.failed.names)
	return end
}

// hear takes one line and reports whether the user should see it.
func (l *listener) hear(stream, line string) bool {
	l.heard.Unread.note(line)
	if stream == "stderr" {
		return l.hearError(line)
	}
	switch {
	case connectedMessage().MatchString(line):
		l.heard.Connected = true
		return false
	case strings.HasPrefix(line, "created directory "+source.Inherited): // not true in a dry run
		return false
	case skippedDeletions().MatchString(line): // part of the verdict
		return false
	}
	if version, ok := rsyncexec.ParseProtocol(line); ok {
		l.heard.Protocol = version
		return false
	}
	if path, ok := rsyncexec.ParseSkipped(line); ok && l.job.Devices {
		l.heard.Skipped = append(l.heard.Skipped, path)
	}
	return l.job.Aloud
}

func (l *listener) hearError(line string) bool {
	if tooManyLinks().MatchString(line) {
		l.heard.TooManyLinks++
		return false // a second run makes separate files of them
	}
	if name, ok := unheldName(line); ok {
		if !slices.Contains(l.heard.Unheld, name) {
			l.heard.Unheld = append(l.heard.Unheld, name)
		}
		return false
	}
	if m := oversizedMessage().FindStringSubmatch(line); m != nil && !slices.Contains(l.heard.Oversized, m[1]) {
		l.heard.Oversized = append(l.heard.Oversized, m[1])
	}
	if m := tornMessage().FindStringSubmatch(line); m != nil {
		l.heard.Torn = append(l.heard.Torn, rsyncexec.Unescape(m[1]))
	}
	if !strings.HasPrefix(line, "rsync error: ") {
		l.wrong++
	}
	l.failed.add(line)
	if path, ok := rsyncexec.ParseBlocked(line); ok {
		l.heard.Blocked = append(l.heard.Blocked, path)
	}
	l.heard.NoSpace = l.heard.NoSpace || saysNoSpace(line)
	l.heard.ReadOnly = l.heard.ReadOnly || readOnlyMessage().MatchString(line)
	if l.job.Options.MaxDelete != nil && stoppedMessage().MatchString(line) {
		l.heard.Stopped = true
		return false // the message of the guard is clearer
	}
	return !falseAlarmMessage().MatchString(line)
}

// readOnlyMessage is what a daemon prints about a read-only module (3.0 to 3.5.0); it exits with the code for a wrong
// option.
var readOnlyMessage = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(@ERROR: |ERROR: )?module is read only$`) })

// messages passes on messages of one rsync to the log, at most MaxLogged lines.
type messages struct {
	log   *slog.Logger
	names *strings.Replacer
	lines int
}

func (s *messages) line(text string) {
	switch s.lines++; {
	case s.lines <= MaxLogged:
		s.log.Warn("rsync", "says", s.names.Replace(text))
	case s.lines == MaxLogged+1:
		s.log.Warn("further messages of rsync are not logged")
	}
}

// rename replaces the paths of descriptors in rsync's messages and error.
func (end *End) rename(names *strings.Replacer) {
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

// Expecting adds the number of files to the progress.
func Expecting(tell func(rsyncexec.Progress), files int64) func(rsyncexec.Progress) {
	if tell == nil || files == 0 {
		return tell
	}
	return func(p rsyncexec.Progress) {
		p.Expected = files
		tell(p)
	}
}
