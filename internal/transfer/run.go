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
	var end End
	said := messages{log: j.Log, names: j.Names}
	failed := newFailedFiles()
	wrong := 0 // messages of something else than attributes that cannot be held
	opts := j.Options
	opts.Line = func(stream, line string) {
		end.Unread.note(line)
		if stream == "stderr" {
			if tooManyLinks.MatchString(line) {
				end.TooManyLinks++
				return // a second run makes files of them
			}
			if name, ok := unheldName(line); ok {
				if !slices.Contains(end.Unheld, name) {
					end.Unheld = append(end.Unheld, name)
				}
				return
			}
			if !strings.HasPrefix(line, "rsync error: ") {
				wrong++
			}
			failed.add(line)
			if path, ok := rsyncexec.ParseBlocked(line); ok {
				end.Blocked = append(end.Blocked, path)
			}
			end.NoSpace = end.NoSpace || saysNoSpace(line)
			end.ReadOnly = end.ReadOnly || readOnlyMessage.MatchString(line)
			if opts.MaxDelete != nil && stoppedMessage.MatchString(line) {
				end.Stopped = true
				return // the guard says it in the user's words
			}
		} else {
			if connectedMessage.MatchString(line) {
				end.Connected = true
				return
			}
			if strings.HasPrefix(line, "created directory "+source.Inherited) {
				return // which in a dry run it has not
			}
			if version, ok := rsyncexec.ParseProtocol(line); ok {
				end.Protocol = version
				return
			}
			if skippedDeletions.MatchString(line) {
				return // said in the verdict
			}
			if path, ok := rsyncexec.ParseSkipped(line); ok && j.Devices {
				end.Skipped = append(end.Skipped, path)
			}
			if !j.Aloud {
				return
			}
		}
		if ctx.Err() == nil { // what rsync says of being stopped is no news
			said.line(line)
		}
	}
	end.Result, end.Err = rsyncexec.Run(ctx, opts)
	end.rename(j.Names)
	if end.Partial() && len(end.Unheld) > 0 && wrong == 0 && end.TooManyLinks == 0 {
		end.Err = nil
	}
	if end.Err != nil && j.Peer != "" {
		end.Err = fmt.Errorf("%s: %w", j.Peer, end.Err)
	}
	if end.Result.HaveStats {
		end.Stats = &end.Result.Stats
	}
	end.Failed = len(failed.names)
	return end
}

// readOnlyMessage is what a daemon says of a module that may not be written to
// (3.0 to 3.5.0); it ends with the code of a wrong option.
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
