package remote_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/remote"
)

// shell stands in for ssh: it runs the command here.
var shell = []string{"sh", "-c", `eval "$1"`}

func TestSession(t *testing.T) {
	s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", `printf '%s|' "$@"; cat`, "x", "it's", "a b", "$HOME", ";", "ä\n"})
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
	s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", "echo first >&2; echo 'rsbtbackup: not found' >&2; exit 127"})
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
		if _, err := remote.Start(t.Context(), shell, host, nil); !errors.Is(err, remote.ErrHost) {
			t.Errorf("%q: %v, want ErrHost", host, err)
		}
	}
}
