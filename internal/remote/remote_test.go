package remote_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
)

// shell stands in for ssh: it runs the command here.
var shell = []string{"sh", "-c", `eval "$1"`}

func TestSession(t *testing.T) {
	s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", `printf '%s|' "$@"; cat`, "x", "it's", "a b", "$HOME", ";", "ä\n"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(s.Stdin, "input"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stdin.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s.Stdout)
	if want := "it's|a b|$HOME|;|ä\n|input"; err != nil || string(out) != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

func TestSessionFails(t *testing.T) {
	s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", "echo first >&2; echo 'rsbtbackup: not found' >&2; exit 127"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s.Stdout); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "host: exit status 127: rsbtbackup: not found") {
		t.Errorf("error %v", err)
	}
}

func TestHostThatIsAnOption(t *testing.T) {
	for _, host := range []string{"", "-oProxyCommand=touch /tmp/owned"} {
		if _, err := remote.Start(t.Context(), shell, host, nil, 0); !errors.Is(err, remote.ErrHost) {
			t.Errorf("%q: %v, want ErrHost", host, err)
		}
	}
}

// TestPatience: what moves too little in the time that it has is given up, and what waits in silence is not, while
// nobody reads.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		name, command, want string
		patience            time.Duration // until it has said something
	}{
		{"says nothing", "exec sleep 9", "host has said nothing for 1s", time.Second},
		{"says a byte now and then", "for i in $(seq 30); do echo; sleep 0.1; done", "host has said nothing for 1s", time.Second},
		{"takes nothing", "printf '%300000s'; exec sleep 9", "host has taken nothing for 1s", time.Hour},
		{"its child goes on", "sleep 9 & exec sleep 9", "host has said nothing for 1s", time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", tt.command}, tt.patience)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = io.CopyN(io.Discard, s.Stdout, 300_000); err == nil {
				s.Patience = time.Second
				_, err = s.Stdin.Write(make([]byte, 3<<20))
			}
			if err == nil || !errors.Is(err, facts.ErrTarget) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v", err)
			}
			if rest, restErr := io.ReadAll(s.Stdout); restErr != nil && !errors.Is(restErr, err) {
				t.Errorf("after the end: %q, %v", rest, restErr)
			}
			if waitErr := s.Wait(); !errors.Is(waitErr, err) {
				t.Errorf("Wait: %v, want %v", waitErr, err)
			}
		})
	}
}

// TestOnlyWaitingCounts: where a busy machine makes a wait last longer than the patience, all is tried again with twice
// the time.
func TestOnlyWaitingCounts(t *testing.T) {
	var err error
	for unit := 300 * time.Millisecond; unit < time.Minute; unit *= 2 {
		if err = twoUnitsEach(t, unit); err == nil {
			return
		}
	}
	t.Error(err)
}

// twoUnitsEach waits twice for two units, and works for four, with a patience of three.
func twoUnitsEach(t *testing.T, unit time.Duration) error {
	wait := fmt.Sprintf("sleep %f", (2 * unit).Seconds())
	s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", "echo a; " + wait + "; echo b; " + wait + "; echo c; cat"}, 3*unit)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Wait() }() // the second time it says the same
	defer s.Stdin.Close()
	line := make([]byte, 2)
	for _, want := range []string{"a\n", "b\n", "c\n"} {
		s.Expect()
		if _, err := io.ReadFull(s.Stdout, line); err != nil || string(line) != want {
			return fmt.Errorf("%q, %w, want %q", line, err, want)
		}
	}
	if _, err := io.WriteString(s.Stdin, "d\n"); err != nil {
		return err
	}
	s.Expect()
	time.Sleep(4 * unit) // at work
	if _, err := io.ReadFull(s.Stdout, line); err != nil || string(line) != "d\n" {
		return fmt.Errorf("%q, %w", line, err)
	}
	_ = s.Stdin.Close()
	return s.Wait()
}

// TestPulse beats while it is at work, and neither while it waits for input nor in the middle of something.
func TestPulse(t *testing.T) {
	in, give := io.Pipe()
	told := make(chan string, 1000)
	p := remote.NewPulse(in, writer(func(b []byte) { told <- string(b) }))
	p.Beat(t.Context(), 10*time.Millisecond, "alive")
	if got := <-told; got != "alive" {
		t.Fatalf("%q", got)
	}
	p.Still(true)
	for len(told) > 0 {
		<-told
	}
	read := make(chan error)
	go func() {
		_, err := io.ReadFull(p, make([]byte, 1))
		read <- err
	}()
	time.Sleep(100 * time.Millisecond)
	if len(told) > 0 {
		t.Errorf("%q while it waits", <-told)
	}
	if _, err := io.WriteString(give, "x"); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil || <-told != "alive" {
		t.Errorf("%v, and no beat", err)
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}
