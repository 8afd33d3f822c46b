// Logging: each run has a logger that writes to activity.log and to the caller's logger. Nothing is shared between
// runs.

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/fail"
	"github.com/rsbtbackup/rsbtbackup/rotate"
)

// ActivityLog is DEST/.log/activity.log as a slog sink. It keeps the first error of a write: slog drops such errors,
// but a log that could not be written must be reported.
type ActivityLog struct {
	file *rotate.File // nil: there was no space for it

	// makeRoom, on a full disk, frees space and reports whether to try again. It is called at the end: before that
	// rsync would use the space.
	makeRoom func() bool

	mu      sync.Mutex
	err     error
	held    []byte
	holding bool
	flushed time.Time
}

// holdFor is how long lines are buffered while holding.
const holdFor = 100 * time.Millisecond

func (l *ActivityLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, p...)
	if !l.holding || time.Since(l.flushed) > holdFor {
		l.flush()
	}
	return len(p), nil
}

// flush writes the held lines in one piece.
func (l *ActivityLog) flush() {
	l.flushed = time.Now()
	if len(l.held) > 0 && l.file != nil {
		_, err := l.file.Write(l.held)
		if fail.IsFull(err) && len(l.held) < maxHeld {
			return // together with the next line, or at the end
		}
		if err != nil && l.err == nil {
			l.err = err
		}
	}
	l.held = l.held[:0]
}

// maxHeld is how many bytes are held while the disk is full.
const maxHeld = 256 << 10

// hold buffers lines until the returned function is called: writing a single line costs half as much as a deletion.
func (l *ActivityLog) hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holding = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.holding = false
		l.flush()
	}
}

// CloseLog closes the log, and warns the caller's logger about lost lines. Lost lines do not make a published backup,
// or a deletion on a full disk, fail.
func CloseLog(l *ActivityLog, caller *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if len(l.held) > 0 && l.file != nil && l.makeRoom != nil && l.makeRoom() {
		l.flush()
	}
	err := l.err
	if len(l.held) > 0 && l.file != nil {
		err = errors.Join(err, fmt.Errorf("%s: %w", LogFileName, unix.ENOSPC))
	}
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	if err != nil {
		LoggerOrSilence(caller).Warn("activity.log could not be written", "error", err)
	}
}

// OpenLog opens activity.log and returns a logger that writes there, quoted, one line an event, and to the caller's
// logger, which may be nil. If the disk is too full to create the file, the lines are lost.
func (s *Store) OpenLog(caller *slog.Logger) (*ActivityLog, *slog.Logger, error) {
	if s.logLost != nil {
		return nil, nil, fail.Step("open log", s.logLost)
	}
	moved := s.clearLogDir()
	f, err := rotate.OpenAt(s.logDir, LogFileName, rotate.Options{})
	l := &ActivityLog{file: f, makeRoom: s.UseReserve}
	if fail.IsFull(err) {
		l.err = err
	} else if errors.Is(err, unix.EROFS) {
		return nil, nil, fail.Step("DEST", &fs.PathError{Op: "write to", Path: s.Path, Err: unix.EROFS})
	} else if err != nil {
		return nil, nil, fail.Step("open log", err)
	}
	var h slog.Handler = slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo})
	if caller != nil {
		h = slog.NewMultiHandler(h, caller.Handler())
	}
	log := slog.New(h)
	for _, text := range moved {
		log.Warn("repaired", "what", text)
	}
	s.waiting = func(most time.Duration) {
		log.Warn("waiting for another process that has locked the records", "most", most)
	}
	return l, log, nil
}

func LoggerOrSilence(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
