// Messages to systemd: the priority of each line in the journal, and the progress of a run.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rsbtbackup/rsbtbackup/internal/jobs"
)

// The priorities of syslog(3). A line that begins with <N> has that one in the journal; see sd-daemon(3).
const (
	prioError   = "<3>"
	prioWarning = "<4>"
	prioNotice  = "<5>"
	prioInfo    = "<6>"
	prioDebug   = "<7>"
)

// toJournal reports whether w is the stream to the journal that systemd connected: $JOURNAL_STREAM has its device and
// inode. If stderr was redirected later, the numbers differ.
func toJournal(w any) bool {
	is, err := journal.StderrIsJournalStream()
	return w == any(os.Stderr) && is && err == nil
}

func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return prioError
	case level >= slog.LevelWarn:
		return prioWarning
	case level >= slog.LevelInfo:
		return prioInfo
	}
	return prioDebug
}

// journalAttr drops the time, which the journal adds, and turns the level into a priority.
func journalAttr(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) == 0 && a.Key == slog.TimeKey:
		return slog.Attr{}
	case len(groups) == 0 && a.Key == slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String(slog.LevelKey, priority(level))
		}
	}
	return cleanAttr(groups, a)
}

// unitStatus is the text that "systemctl status" shows for a unit with Type=notify. Without such a unit it does
// nothing.
type unitStatus struct {
	log *slog.Logger

	mu      sync.Mutex
	total   int
	ended   int
	notWell int
	running []string // JOB STEP, in the order they began
	failed  bool     // a message to systemd failed
}

// ready reports that the config was read and the jobs begin.
func (s *unitStatus) ready(total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total = total
	s.send(daemon.SdNotifyReady)
}

// begins is called for each step.
func (s *unitStatus) begins(job string, step jobs.Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(job)
	s.running = append(s.running, job+" "+string(step))
	s.send()
}

// done is called for each job.
func (s *unitStatus) done(job string, well bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(job)
	s.ended++
	if !well {
		s.notWell++
	}
	s.send()
}

// stopping reports that the process is about to end, and why, unless all jobs have ended.
func (s *unitStatus) stopping(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := []string{daemon.SdNotifyStopping}
	if why != nil {
		states = append(states, "STATUS=stopping: "+clean(oneLine(why)))
	}
	s.send(states...)
}

// leave removes the step of a job from the list: a job has only one at a time.
func (s *unitStatus) leave(job string) {
	s.running = slices.DeleteFunc(s.running, func(r string) bool { return strings.HasPrefix(r, job+" ") })
}

func (s *unitStatus) String() string {
	text := fmt.Sprintf("%d of %s ended", s.ended, plural(int64(s.total), "job"))
	if s.notWell > 0 {
		text += fmt.Sprintf(", %d did not succeed", s.notWell)
	}
	if len(s.running) > 0 {
		text += "; running: " + strings.Join(some(s.running, 5), ", ")
	}
	return text
}

// send sends the state of the process, if it is new, and its progress.
func (s *unitStatus) send(states ...string) {
	_, err := daemon.SdNotify(false, strings.Join(append([]string{"STATUS=" + s.String()}, states...), "\n"))
	if err != nil && !s.failed {
		s.failed = true
		s.log.Warn("the progress of the run could not be reported to systemd", "err", err)
	}
}

// watch reports a signal immediately. Call the returned function at the end.
func (s *unitStatus) watch(ctx context.Context) (end func()) {
	stop := context.AfterFunc(ctx, func() { s.stopping(context.Cause(ctx)) })
	return func() {
		if stop() {
			s.stopping(nil)
		}
	}
}
