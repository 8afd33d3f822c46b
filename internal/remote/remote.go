// Package remote runs a command on another host, by ssh or a replacement for it, with standard input and output as
// streams. It is the only place that starts ssh.
package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// ErrHost: the name of a host is empty, or ssh would read it as an option.
var ErrHost = errors.New("not the name of a host")

// Session is a command that runs on the other host.
type Session struct {
	Stdin  io.WriteCloser
	Stdout io.Reader
	host   string
	cmd    *exec.Cmd
	said   *tail
}

// endWait is how long a command may take to end after its input was closed.
const endWait = 30 * time.Second

// Start starts it. shell is the program with its arguments; none means ssh. The words of command are quoted for the
// remote shell. It ends with ctx.
func Start(ctx context.Context, shell []string, host string, command []string) (*Session, error) {
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
	s := &Session{host: host, said: &tail{}, cmd: exec.CommandContext(ctx, shell[0], args...)}
	s.cmd.Stderr, s.cmd.WaitDelay = s.said, endWait
	var err error
	if s.Stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if s.Stdout, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return s, s.cmd.Start()
}

// quote protects a word from a POSIX shell.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// Wait returns when the command has ended, after all of Stdout has been read. The error has its last message.
func (s *Session) Wait() error {
	err := s.cmd.Wait()
	if err == nil {
		return nil
	}
	if said := s.said.last(); said != "" {
		return fmt.Errorf("%s: %w: %s", s.host, err, said)
	}
	return fmt.Errorf("%s: %w", s.host, err)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if over := len(t.end) - tailSize; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(p), nil
}

// last is the last line that is not empty.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.end), []byte("\n"))
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}
