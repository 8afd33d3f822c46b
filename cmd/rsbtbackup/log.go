// The log on stderr: always warnings, and each step with --verbose. Errors are left out, because run prints the one
// that ends it.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"github.com/rsbtbackup/rsbtbackup"
)

func newLogger(u *ui, f *flags) *slog.Logger {
	level := slog.LevelWarn
	switch {
	case f.Quiet:
		return slog.New(slog.DiscardHandler)
	case f.Verbose:
		level = slog.LevelDebug
	}
	attr := cleanAttr
	if u.journal {
		attr = journalAttr
	}
	h := withoutErrors{tint.NewTextHandler(logWriter{u}, &tint.Options{
		Level:       level,
		TimeFormat:  time.TimeOnly,
		NoColor:     !u.colours(f.Color),
		ReplaceAttr: attr,
	})}
	if f.Verbose {
		return slog.New(h)
	}
	u.rsyncLines = &heldLines{Handler: h}
	return slog.New(u.rsyncLines)
}

// heldLines keeps rsync's complaints until the end of the run is known: the final error has most of them in one line,
// and if rsync ran twice it complains twice.
type heldLines struct {
	slog.Handler

	mu   sync.Mutex
	held []slog.Record
}

// Handle passes everything else on.
func (h *heldLines) Handle(ctx context.Context, r slog.Record) error {
	if said(r) == "" {
		return h.Handler.Handle(ctx, r)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, r)
	return nil
}

// release logs each line once, except lines that are in err. If the other side cannot be reached, the error is enough.
func (h *heldLines) release(ctx context.Context, err error) {
	var stopped signalError
	if h == nil || errors.As(err, &stopped) || errors.Is(err, rsbtbackup.ErrSource) || errors.Is(err, rsbtbackup.ErrTarget) {
		return
	}
	told := map[string]bool{}
	for _, r := range h.held {
		line := said(r)
		// "rsync error:" is a summary, as is err.
		inError := err != nil && (strings.HasPrefix(line, "rsync error:") || strings.Contains(err.Error(), line))
		if told[line] || inError {
			continue
		}
		told[line] = true
		// As with any other line of the log, losing it changes nothing.
		_ = h.Handler.Handle(ctx, r)
	}
}

// of is a log with an attribute that holds back its own lines, to replace h. It is nil if none are held back.
func (h *heldLines) of(a slog.Attr) *heldLines {
	if h == nil {
		return nil
	}
	return &heldLines{Handler: h.Handler.WithAttrs([]slog.Attr{a})}
}

// said is rsync's line in a record, or empty.
func said(r slog.Record) (line string) {
	if r.Message != "rsync" {
		return ""
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "says" {
			line = a.Value.String()
		}
		return line == ""
	})
	return line
}

// cleanAttr cleans the message and every value a record has.
func cleanAttr(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(clean(a.Value.String()))
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case slog.Level, *slog.Source:
		case error:
			a.Value = slog.StringValue(clean(oneLine(v)))
		default:
			a.Value = slog.StringValue(clean(fmt.Sprint(v)))
		}
	}
	return a
}

type logWriter struct{ u *ui }

// Write never fails: a backup must not fail because stderr is closed.
func (w logWriter) Write(line []byte) (int, error) {
	w.u.logLine(line)
	return len(line), nil
}

type withoutErrors struct{ slog.Handler }

// Enabled leaves out the levels that run prints.
func (h withoutErrors) Enabled(ctx context.Context, level slog.Level) bool {
	return level < slog.LevelError && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the filter.
func (h withoutErrors) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withoutErrors{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the filter.
func (h withoutErrors) WithGroup(name string) slog.Handler {
	return withoutErrors{h.Handler.WithGroup(name)}
}
