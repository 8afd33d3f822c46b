// Package remote runs a command on another host, by ssh or a replacement for it, with standard input and output as
// streams. It is the only place that starts ssh.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHost: the name of a host is empty, or ssh would read it as an option.
var ErrHost = errors.New("not the name of a host")

// Session is a command that runs on the other host.
type Session struct {
	Stdin  io.WriteCloser
	Stdout io.Reader
	// Patience is how long the other side may say nothing that is expected, or take nothing. 0 is without limit.
	Patience time.Duration

	ctx  context.Context
	host string
	stop func()
	cmd  *exec.Cmd
	said *tail
	in   *input
	out  *output

	waited sync.Once
	result error

	mu   sync.Mutex
	end  time.Time // nothing is waited for after that; zero while the session goes on
	lost error
}

// endWait is how long a command may take to end after its input was closed.
const endWait = 30 * time.Second

// Start starts it. shell is the program with its arguments; none means ssh. The words of command are quoted for the
// remote shell. It ends with ctx.
func Start(ctx context.Context, shell []string, host string, command []string, patience time.Duration) (*Session, error) {
	if host == "" || strings.HasPrefix(host, "-") {
		return nil, fmt.Errorf("%w: %q", ErrHost, host)
	}
	if len(shell) == 0 {
		shell = []string{"ssh"}
	}
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = quote(word)
	}
	args := append(append([]string{}, shell[1:]...), host, strings.Join(words, " "))
	ctx, stop := context.WithCancel(ctx)
	s := &Session{Patience: patience, ctx: ctx, host: host, stop: stop, said: &tail{flood: stop}, cmd: exec.CommandContext(ctx, shell[0], args...)}
	s.cmd.Stderr, s.cmd.WaitDelay = s.said, endWait
	if err := s.start(); err != nil {
		stop()
		return nil, err
	}
	context.AfterFunc(ctx, s.ended)
	return s, nil
}

func (s *Session) start() error {
	stdin, in, err := inputPipe()
	if err != nil {
		return err
	}
	s.cmd.Stdin = stdin
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return errors.Join(err, stdin.Close(), in.Close())
	}
	widen(in)
	widen(out.(*os.File))
	s.in, s.out = newInput(s, in), newOutput(s, out.(*os.File))
	s.Stdin, s.Stdout = s.in, s.out
	err = s.cmd.Start()
	_ = stdin.Close() // the command has its own
	if err != nil {
		return errors.Join(err, in.Close())
	}
	return nil
}

// widen makes a pipe hold what every user may have by default (/proc/sys/fs/pipe-max-size), so that neither end waits
// for each small piece. Where it stays small it works as well.
func widen(pipe *os.File) {
	if conn, err := pipe.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) })
	}
}

// quote protects a word from a POSIX shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// Wait returns when the command has ended, after all of Stdout has been read. The error has its last message. It can be
// called again.
func (s *Session) Wait() error {
	s.waited.Do(func() { s.result = s.wait() })
	return s.result
}

func (s *Session) wait() error {
	defer s.stop()
	err := s.cmd.Wait()
	_ = s.in.Close() // who has closed it does not care
	if lost := s.Lost(); lost != nil {
		return lost
	}
	if s.said.flooded() {
		err = errFlood
	}
	if err == nil {
		return nil
	}
	if said := s.said.last(); said != "" {
		return fmt.Errorf("%s: %w: %s", s.host, err, said)
	}
	return fmt.Errorf("%s: %w", s.host, err)
}

// OfProgram reports whether an error of Wait is one of the program on the other host: ssh has 255 for its own.
func OfProgram(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() > 0 && exit.ExitCode() < 128
}

// tail keeps the end of what is written to it. Who writes without end is ended: ssh goes on without its standard error.
type tail struct {
	flood func()

	mu  sync.Mutex
	end []byte
	all int
}

const (
	tailSize = 4096
	tailMost = 16 << 20
)

var errFlood = errors.New("it prints too much")

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all += len(p); t.all > tailMost {
		t.flood()
		return 0, errFlood
	}
	t.end = append(t.end, p...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(p), nil
}

func (t *tail) flooded() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all > tailMost
}

// last is the last line that is not empty.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.end), []byte("\n"))
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}
