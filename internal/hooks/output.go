package hooks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
)

// The limits of the output of a program: a line longer than lineLimit is cut, and everything after logLimit bytes or
// linesLimit lines is left out. Each line is a write to the log: tens of thousands would take seconds.
const (
	lineLimit  = 1000
	logLimit   = 64 << 10
	linesLimit = 4000
)

// pipeSize is how much a pipe holds by default: more than that a program cannot have left behind.
const pipeSize = 64 << 10

// pipeEnd reads the pipe of a program. After its deadline it still returns what is in the pipe.
type pipeEnd struct {
	pipe *os.File
	late int // bytes read after the deadline
}

func (p *pipeEnd) Read(buf []byte) (n int, err error) {
	n, err = p.pipe.Read(buf)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	conn, err := p.pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctl := conn.Control(func(fd uintptr) { n, err = syscall.Read(int(fd), buf[:min(len(buf), pipeSize-p.late)]) })
	if ctl != nil || err != nil || n <= 0 {
		return 0, io.EOF // nothing is left
	}
	p.late += n
	return n, nil
}

// output reads what a program prints, line by line, to the end, so that the program never blocks.
type output struct {
	say  func(string)
	last string // the last line that is not empty

	said  int   // bytes
	lines int   // of them
	left  int64 // lines that were not said
}

func (o *output) take(r io.Reader) {
	in := bufio.NewReaderSize(r, lineLimit)
	for {
		piece, cut, err := in.ReadLine()
		if err != nil { // the end, or nobody is expected to write any more
			break
		}
		line := strings.TrimRight(string(piece), " \t\r")
		for cut && err == nil {
			_, cut, err = in.ReadLine()
		}
		o.line(line)
	}
	if o.left > 0 {
		o.say(fmt.Sprintf("... and %d lines more, which are left out", o.left))
	}
}

func (o *output) line(line string) {
	if line == "" {
		return
	}
	o.last = line
	if o.said+len(line) > logLimit || o.lines == linesLimit {
		o.left++
		return
	}
	o.said += len(line) + 1
	o.lines++
	o.say(line)
}

// environment is that of this process, without the variables that are only for this process: the socket for messages to
// systemd, and the stream of the journal.
func environment(all []string) []string {
	return slices.DeleteFunc(all, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "NOTIFY_SOCKET" || name == "JOURNAL_STREAM" || strings.HasPrefix(name, "WATCHDOG_")
	})
}
