package rsyncexec

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
)

// Limits on how much of the child's output is kept.
const (
	maxLine       = 16 << 10
	maxTail       = 8 << 10
	maxComplaints = 20
)

// tail keeps the last max bytes written to it.
type tail struct {
	max int
	buf []byte
}

// Write never fails. The buffer grows to twice max before it is truncated, so that each byte is moved at most once.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > t.max {
		p = p[n-t.max:]
	}
	if len(t.buf)+len(p) > 2*t.max {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.max:]...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

func (t *tail) String() string { return string(t.buf[max(0, len(t.buf)-t.max):]) }

// head passes on the first max bytes and drops the rest.
type head struct {
	max int
	to  io.Writer
}

func (h *head) Write(p []byte) (int, error) {
	kept := p[:min(len(p), h.max)]
	h.max -= len(kept)
	if _, err := h.to.Write(kept); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lines splits a stream at newlines and carriage returns (progress lines end in the latter) and passes on lines that
// are not empty, at most maxLine bytes of each.
type lines struct {
	buf  []byte
	emit func(string)
}

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexAny(p, "\r\n")
		part := p
		if end >= 0 {
			part = p[:end]
		}
		l.buf = append(l.buf, part[:min(len(part), maxLine-len(l.buf))]...)
		if end < 0 {
			break
		}
		l.flush()
		p = p[end+1:]
	}
	return n, nil
}

// flush passes on the contents of the buffer: a line, or the end of a stream without a newline.
func (l *lines) flush() {
	if len(l.buf) > 0 {
		l.emit(string(l.buf))
		l.buf = l.buf[:0]
	}
}

// writtenMessage is what rsync says, with --debug=exit2, when its other end has said good-bye (3.1 to 3.5.0).
const writtenMessage = "client_run waiting on "

// exitMessage is what else --debug=exit2 makes each of its processes say.
var exitMessage = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:\[\w+\] )?_exit_cleanup\(code=`) })

// output sorts what rsync prints. Its two writers may be used from two goroutines.
type output struct {
	mu         sync.Mutex
	progress   func(Progress)
	changes    func(Change)
	listed     func(Listed)
	written    func()
	debugs     bool // --debug=exit2 was given
	line       func(stream, line string)
	stats      tail
	stderr     tail
	complaints []string
}

func newOutput(o Options) *output {
	return &output{progress: o.Progress, changes: o.Changes, listed: o.Listed, written: o.Written, debugs: o.Written != nil, line: o.Line, stats: tail{max: maxTail}, stderr: tail{max: maxTail}}
}

func (out *output) stdoutLine(line string) {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.progress != nil {
		if p, ok := ParseProgress(line); ok {
			out.progress(p)
			return
		}
	}
	if out.listed != nil {
		if e, ok := ParseListed(line); ok {
			out.listed(e)
			return
		}
	}
	if out.changes != nil {
		if c, ok := ParseChange(line); ok {
			out.changes(c)
			return
		}
	}
	if out.written != nil && strings.HasPrefix(line, writtenMessage) {
		out.written()
		return
	}
	if out.debugs && exitMessage().MatchString(line) {
		return
	}
	if statsLine(line) {
		_, _ = out.stats.Write([]byte(line + "\n")) // a tail never fails
		return
	}
	if out.line != nil {
		out.line("stdout", line)
	}
}

func (out *output) stderrLine(line string) {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.debugs && exitMessage().MatchString(line) { // of a process that has lost its connection
		return
	}
	_, _ = out.stderr.Write([]byte(line + "\n")) // a tail never fails
	if len(out.complaints) < maxComplaints && complaint(line) {
		out.complaints = append(out.complaints, line)
	}
	if out.line != nil {
		out.line("stderr", line)
	}
}

// complaint tells rsync's own messages from what a remote shell or login script prints.
func complaint(line string) bool {
	prefixes := []string{
		"rsync: ", "rsync error: ", "rsync warning: ", "file has vanished: ", "directory has vanished: ",
		"IO error encountered", "cannot delete non-empty directory", "ERROR: ", "WARNING: ", "@ERROR", "Deletions stopped",
		"filename overflows max-path len ",
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}
