// Logging: one logger for each run, made of the caller's and of the store's
// activity.log. Nothing is shared between runs.

package rsbtbackup

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/rsbtbackup/rsbtbackup/rotate"
	"golang.org/x/sys/unix"
)

// activityLog is DEST/.log/activity.log as a slog sink. It remembers the first
// write that failed: slog drops such errors, and a log that could not be
// written must be told of.
type activityLog struct {
	file *rotate.File

	mu  sync.Mutex
	err error
}

func (l *activityLog) Write(p []byte) (int, error) {
	if l.file == nil {
		return len(p), nil
	}
	n, err := l.file.Write(p)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err == nil {
			l.err = err
		}
	}
	return n, err
}

func (l *activityLog) firstError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// closeLog closes the log and tells the caller's logger of lines it lost. That
// is no reason to call a backup failed that is published, nor to fail a
// deletion that makes room on a full disk.
func closeLog(l *activityLog, caller *slog.Logger) {
	if err := joinClose(l); err != nil {
		loggerOrSilence(caller).Warn("activity.log could not be written", "error", err)
	}
}

// joinClose closes the log and returns the first write that failed, too.
func joinClose(l *activityLog) error {
	if l.file == nil {
		return l.firstError()
	}
	return errors.Join(l.firstError(), l.file.Close())
}

// openLog opens activity.log and returns a logger that writes there, quoted,
// one line an event, and to the caller's logger, which may be nil. On a disk
// too full to create the file, lines are lost like any other that finds no
// room.
func (s *store) openLog(caller *slog.Logger) (*activityLog, *slog.Logger, error) {
	f, err := rotate.OpenAt(s.log, logFileName, rotate.Options{})
	l := &activityLog{file: f}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		l.err = err
	} else if err != nil {
		return nil, nil, err
	}
	var h slog.Handler = slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo})
	if caller != nil {
		h = slog.NewMultiHandler(h, caller.Handler())
	}
	return l, slog.New(h), nil
}

func loggerOrSilence(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
