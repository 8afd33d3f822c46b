// rsbtbackup cat DEST BACKUP PATH...

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/rsbtbackup/rsbtbackup"
)

type catCommand struct {
	Dest   string   `arg:"" name:"DEST" help:"A backup directory."`
	Backup string   `arg:"" name:"BACKUP" help:"A backup: its name, the beginning of it, latest (complete or not), or latest~N for the Nth before."`
	Paths  []string `arg:"" name:"PATH" sep:"none" help:"A regular file in it. Several files are written one after the other."`
}

// Help shows how it is used.
func (catCommand) Help() string {
	return `
The file is written to standard output byte by byte, regardless of --json and --quiet. To a terminal only text is
written: at the first control character the output ends with exit code 13. A symlink is followed if it stays inside the
backup.

EXAMPLE:

    rsbtbackup cat /backup/etc latest passwd
    rsbtbackup cat /backup/etc latest~3 ssh/sshd_config | diff - /etc/ssh/sshd_config`
}

func (c *catCommand) dest() string { return c.Dest }

func (c *catCommand) run(ctx context.Context, u *ui, f *flags) error {
	out := &catWriter{u: u, terminal: u.shown}
	return rsbtbackup.OpenEach(ctx, c.Dest, c.Backup, c.Paths, func(path string, file *os.File) error {
		out.name = path
		// Only Write is called: otherwise the kernel would copy from file to file without the check.
		_, err := io.Copy(out, io.LimitReader(file, 1<<62))
		switch {
		case ctx.Err() != nil:
			return &rsbtbackup.StepError{Step: "read", Err: context.Cause(ctx)}
		case errors.Is(err, errNoReader):
			return nil
		}
		return err
	})
}

// errNoReader: stdout accepts no more data; the ui has stored the reason.
var errNoReader = errors.New("standard output is closed")

// controlsError stops output that would control the terminal.
type controlsError struct{ name string }

func (e *controlsError) Error() string {
	return fmt.Sprintf("%s has control characters, which a terminal would obey", e.name)
}

// Unwrap makes it an ErrGuard.
func (e *controlsError) Unwrap() error { return rsbtbackup.ErrGuard }

// catWriter passes bytes on; to a terminal only harmless ones.
type catWriter struct {
	u        *ui
	name     string
	terminal bool
	rest     []byte // of a character that is split between two writes
}

func (w *catWriter) Write(p []byte) (int, error) {
	if w.terminal {
		text := append(w.rest, p...)
		if bytes.ContainsFunc(text, drivesTerminal) || !utf8.Valid(wholeRunes(text)) {
			return 0, &controlsError{w.name}
		}
		w.rest = bytes.Clone(text[len(wholeRunes(text)):])
	}
	w.u.write(w.u.stdout, string(p))
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if w.u.lost != nil {
		return 0, errNoReader
	}
	return len(p), nil
}

func drivesTerminal(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' && r != '\r' || isControl(r)
}

// wholeRunes cuts an incomplete character at the end of text.
func wholeRunes(text []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if start := len(text) - i; utf8.RuneStart(text[start]) {
			if !utf8.FullRune(text[start:]) {
				return text[:start]
			}
			break
		}
	}
	return text
}
