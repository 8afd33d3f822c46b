// The log on stderr: warnings always, what is done with --verbose. Errors are
// left out, since run prints the one that ends it.

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

func newLogger(u *ui, f *flags) *slog.Logger {
	level := slog.LevelWarn
	switch {
	case f.Quiet:
		return slog.New(slog.DiscardHandler)
	case f.Verbose:
		level = slog.LevelDebug
	}
	return slog.New(withoutErrors{tint.NewTextHandler(logWriter{u}, &tint.Options{
		Level:       level,
		TimeFormat:  time.TimeOnly,
		NoColor:     !u.colours(f.Color),
		ReplaceAttr: cleanAttr,
	})})
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

// Write never fails: that stderr is closed is no reason to fail a backup.
func (w logWriter) Write(line []byte) (int, error) {
	w.u.logLine(line)
	return len(line), nil
}

type withoutErrors struct{ slog.Handler }

// Enabled leaves out what run prints.
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
