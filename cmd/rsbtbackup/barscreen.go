// The screen of a progress bar: one line at the end of the terminal, drawn again several times per second.

package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/vbauerster/mpb/v8"
	"golang.org/x/term"
)

// newScreen returns nil if no bar is shown. Lines for stderr are shown above the bar until u.setBar(nil).
func newScreen(u *ui) *mpb.Progress {
	f, ok := u.stderr.(*os.File)
	if !ok || !u.terminal || u.quiet || u.json {
		return nil
	}
	// The Linux console does not rewrap lines when its size changes.
	screen := mpb.New(mpb.WithConsoleWriter(&barScreen{out: f, wraps: os.Getenv("TERM") != "linux"}), mpb.WithAutoRefresh())
	u.setBar(screen)
	return screen
}

// barScreen is an mpb.ConsoleWriter that knows how many rows its line takes: a terminal that became narrower has
// wrapped it.
type barScreen struct {
	bytes.Buffer // what the next Flush shows
	out          *os.File
	wraps        bool
	drawn        int // columns of the line on the screen; 0 is none
}

// IsTerminal is true: there is no bar elsewhere.
func (s *barScreen) IsTerminal() bool { return true }

// GetTermSize returns columns and rows.
func (s *barScreen) GetTermSize() (width, height int, err error) {
	return term.GetSize(int(s.out.Fd()))
}

// Flush replaces the line by the text written since, whose last line (if any) is the next one.
func (s *barScreen) Flush(lines int) error {
	width, _, err := s.GetTermSize()
	if err != nil {
		return err
	}
	if !s.wraps {
		width = s.drawn
	}
	var text []byte
	if s.drawn > 0 {
		text = fmt.Appendf(nil, "\x1b[%dA\x1b[J", rowsOf(s.drawn, width))
	}
	s.drawn = 0
	if lines > 0 {
		last := bytes.TrimSuffix(s.Bytes(), []byte("\n"))
		s.drawn = max(1, len(last)-bytes.LastIndexByte(last, '\n')-1) // all of it is ASCII
	}
	_, err = s.out.Write(append(text, s.Bytes()...))
	s.Reset()
	return err
}

// rowsOf is how many rows of this width a line takes.
func rowsOf(line, width int) int {
	if width <= 0 {
		return 1
	}
	return max(1, (line+width-1)/width)
}
