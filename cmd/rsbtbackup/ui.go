// Every write to the user goes through here. The rules:
//
//   - The result goes to stdout. Everything else, which is errors, hints, notes,
//     the log and the progress bar, goes to stderr.
//   - An error is one line: "rsbtbackup: <operation, path, cause>", in lower
//     case, without a full stop. It is followed by lines "hint: <a command to
//     type>", if any helps.
//   - No line holds anything but printable characters: clean escapes the rest.
//     To anything but a terminal ls and cat write bytes as they are.
//   - With --quiet nothing is written but errors, their hints, and JSON that
//     was asked for.
//   - With --json stdout has one object a line and nothing else; see json.go.
//   - The exit code of a command that changes DEST, or restores, says what
//     became of that. That nobody read the report does not change it.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"
)

type ui struct {
	stdout, stderr io.Writer
	quiet, json    bool
	log            *slog.Logger
	rsyncLines     *heldLines // nil where none are held back
	terminal       bool       // stderr is one that understands cursor movement
	journal        bool       // stderr is the journal, whose lines have priorities
	shown          bool       // stdout is a terminal

	mu   sync.Mutex
	bar  io.Writer // while a progress bar is shown: takes lines for above it
	lost error     // the first write to stdout that failed
}

func newUI(stdout, stderr io.Writer) *ui {
	u := &ui{stdout: stdout, stderr: stderr, shown: isTerminal(stdout)}
	u.journal = toJournal(stderr)
	u.terminal = isTerminal(stderr) && os.Getenv("TERM") != "dumb"
	return u
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (u *ui) configure(f *flags) {
	u.quiet, u.json = f.Quiet, f.JSON
	u.log = newLogger(u, f)
}

// colours reports whether the log on stderr may have them; see no-color.org.
func (u *ui) colours(when string) bool {
	switch when {
	case "always":
		return true
	case "never":
		return false
	}
	return u.terminal && os.Getenv("NO_COLOR") == ""
}

// result prints lines about what was done, with one write: each costs as much as to find out what the line says.
func (u *ui) result(lines ...string) {
	cleaned := make([]string, len(lines))
	for i, line := range lines {
		cleaned[i] = clean(line)
	}
	u.raw(cleaned...)
}

// raw is result for lines that are clean, or are to stay as they are.
func (u *ui) raw(lines ...string) {
	if u.quiet || u.json || len(lines) == 0 {
		return
	}
	u.write(u.stdout, strings.Join(lines, "\n")+"\n")
}

// object prints values as lines of JSON, if that is what is wanted.
func (u *ui) object(values ...any) error {
	if !u.json || len(values) == 0 {
		return nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // hints have && in them
	for _, v := range values {
		if err := encoder.Encode(v); err != nil {
			return fmt.Errorf("print JSON: %w", err)
		}
	}
	u.write(u.stdout, string(asciiControls(b.Bytes())))
	return nil
}

// note prints a line on stderr that is neither error nor log.
func (u *ui) note(text string) {
	if !u.quiet {
		u.tell(prioNotice, text)
	}
}

// trouble prints what went wrong while the command goes on.
func (u *ui) trouble(text string) { u.tell(prioError, text) }

func (u *ui) hint(text string) { u.line(prioNotice, "hint: "+clean(text)) }

func (u *ui) tell(priority, text string) { u.line(priority, "rsbtbackup: "+clean(text)) }

// line prints one line on stderr, with its priority if the journal takes it.
func (u *ui) line(priority, text string) {
	if !u.journal {
		priority = ""
	}
	u.write(u.stderr, priority+text+"\n")
}

// fail prints an error and its hints.
func (u *ui) fail(err error, code int, hints []string) {
	var silent *silentError
	if errors.Is(err, errNoArguments) || errors.As(err, &silent) {
		return
	}
	text := clean(message(err))
	u.line(prioError, "rsbtbackup: "+text)
	for _, hint := range hints {
		u.hint(hint)
	}
	if err := u.object(errorObject{"error", code, text, hints}); err != nil {
		u.note(err.Error())
	}
}

// delivered returns 1 if cmd is one of which the output is all there is to it, and some of it could not be written. A
// reader that went away (EPIPE) has had enough and is not told; a full disk is.
func (u *ui) delivered(cmd command) int {
	u.mu.Lock()
	lost := u.lost
	u.mu.Unlock()
	if lost == nil {
		return exitOK
	}
	if !errors.Is(lost, syscall.EPIPE) {
		u.trouble(oneLine(lost))
	}
	if c, ok := cmd.(changer); ok && c.changes() {
		return exitOK
	}
	return exitFailed
}

// logLine takes a finished line from the log. Its parts were cleaned one by one: the colours around them are escape
// sequences too. In the journal a line begins with its priority, and the space after that is none of its text.
func (u *ui) logLine(line []byte) {
	text := string(line)
	if u.journal {
		text = strings.Replace(text, "> ", ">", 1)
	}
	u.write(u.stderr, text)
}

// write is where everything ends up. A bar that has ended takes no more lines.
func (u *ui) write(w io.Writer, text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bar != nil && w == u.stderr {
		if _, err := io.WriteString(u.bar, text); err == nil {
			return
		}
	}
	if _, err := io.WriteString(w, text); err != nil && w == u.stdout && u.lost == nil {
		u.lost = err
	}
}

func (u *ui) setBar(bar io.Writer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bar = bar
}
