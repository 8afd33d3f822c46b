package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/source"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// Job is one rsync to run.
type Job struct {
	Options rsyncexec.Options // all but Line
	Names   *strings.Replacer // from the paths of our descriptors to those that people know
	Log     *slog.Logger
	// Peer, if set, is what an error is about.
	Peer string
	// Devices: rsync cannot make them, and those it skips are listed in End.
	Devices bool
	// Aloud passes on what rsync says on stdout as well: the answers of a dry run.
	Aloud bool
}

// Run runs one rsync to its end, and listens to what it says.
func Run(ctx context.Context, j Job) End {
	l := &listener{job: j, said: messages{log: j.Log, names: j.Names}, failed: newFailedFiles()}
	opts := j.Options
	opts.Line = func(stream, line string) {
		// What rsync says of being stopped is no news.
		if l.hear(stream, line) && ctx.Err() == nil {
			l.said.line(line)
		}
	}
	result, err := rsyncexec.Run(ctx, opts)
	return l.end(result, err)
}

// listener is what one rsync has said so far.
type listener struct {
	job    Job
	said   messages
	failed *failedFiles
	heard  End
	wrong  int // messages of something else than attributes that cannot be held
}

// end is all that was heard, with how rsync ended.
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

// hear takes one line and tells whether people should see it.
func (l *listener) hear(stream, line string) bool {
	l.heard.Unread.note(line)
	if stream == "stderr" {
		return l.hearError(line)
	}
	switch {
	case connectedMessage.MatchString(line):
		l.heard.Connected = true
		return false
	case strings.HasPrefix(line, "created directory "+source.Inherited): // which in a dry run it has not
		return false
	case skippedDeletions.MatchString(line): // said in the verdict
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
	if tooManyLinks.MatchString(line) {
		l.heard.TooManyLinks++
		return false // a second run makes files of them
	}
	if name, ok := unheldName(line); ok {
		if !slices.Contains(l.heard.Unheld, name) {
			l.heard.Unheld = append(l.heard.Unheld, name)
		}
		return false
	}
	if !strings.HasPrefix(line, "rsync error: ") {
		l.wrong++
	}
	l.failed.add(line)
	if path, ok := rsyncexec.ParseBlocked(line); ok {
		l.heard.Blocked = append(l.heard.Blocked, path)
	}
	l.heard.NoSpace = l.heard.NoSpace || saysNoSpace(line)
	l.heard.ReadOnly = l.heard.ReadOnly || readOnlyMessage.MatchString(line)
	if l.job.Options.MaxDelete != nil && stoppedMessage.MatchString(line) {
		l.heard.Stopped = true
		return false // the guard says it in the user's words
	}
	return true
}

// readOnlyMessage is what a daemon says of a module that may not be written to (3.0 to 3.5.0); it ends with the code of
// a wrong option.
var readOnlyMessage = regexp.MustCompile(`^(@ERROR: |ERROR: )?module is read only$`)

// messages passes what one rsync says on to the log, MaxLogged lines at most.
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
		s.log.Warn("further messages of rsync are left out")
	}
}

// rename puts paths for descriptors in what rsync said, also in its error.
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
