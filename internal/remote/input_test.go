package remote_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/remote"
)

// TestSplice: all of another pipe arrives, in its order, whatever the size of the writes, and what is written after it
// comes after it.
func TestSplice(t *testing.T) {
	s, err := remote.Start(t.Context(), shell, "host", []string{"sha256sum"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.New()
	var parts [3000][]byte
	for i := range parts {
		parts[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8)}, i)
		want.Write(parts[i])
	}
	from := pipeOf(t, func(w io.Writer) {
		for _, part := range parts {
			_, _ = w.Write(part)
		}
	})
	spliced, err := spliceAll(s, from)
	if err != nil || spliced != 3000*2999 {
		t.Errorf("%d bytes, %v", spliced, err)
	}
	want.Write([]byte("end"))
	if _, err := io.WriteString(s.Stdin, "end"); err != nil {
		t.Error(err)
	}
	_ = s.Stdin.Close()
	got, err := io.ReadAll(s.Stdout)
	if err != nil || !strings.HasPrefix(string(got), fmt.Sprintf("%x ", want.Sum(nil))) {
		t.Errorf("%s, %v, want %x", got, err, want.Sum(nil))
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
}

// TestSpliceIsGivenUp as a write is.
func TestSpliceIsGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name, command string
		want          error
	}{
		{"takes nothing", "exec sleep 9", facts.ErrTarget},
		{"takes a little now and then", "for i in $(seq 90); do head -c 4096 >/dev/null; sleep 0.1; done", facts.ErrTarget},
		{"has ended", "exec true", syscall.EPIPE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := remote.Start(t.Context(), shell, "host", []string{"sh", "-c", tt.command}, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Wait() }() // the error of the splice says why
			_, err = spliceAll(s, pipeOf(t, func(w io.Writer) { _, _ = w.Write(make([]byte, 4<<20)) }))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// TestWritesEndWithTheSession, though a child of the command goes on reading.
func TestWritesEndWithTheSession(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*remote.Session, *os.File) error{
		"write": func(s *remote.Session, _ *os.File) error {
			_, err := s.Stdin.Write(make([]byte, 4096))
			return err
		},
		"splice": func(s *remote.Session, from *os.File) error {
			_, err := spliceOnce(s, from)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			s, err := remote.Start(ctx, []string{"sh", "-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 & echo; exec sleep 60 3<&- >/dev/null"}, "host", nil, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Wait() }()
			if _, err := io.CopyN(io.Discard, s.Stdout, 1); err != nil { // the child is there
				t.Fatal(err)
			}
			from := pipeOf(t, func(w io.Writer) {
				for err := error(nil); err == nil; _, err = w.Write(make([]byte, 4096)) {
				}
			})
			if err := write(s, from); err != nil {
				t.Fatal(err)
			}
			why := errors.New("why")
			cancel(why)
			for began := time.Now(); err == nil && time.Since(began) < time.Minute; {
				err = write(s, from)
			}
			if !errors.Is(err, why) {
				t.Errorf("error %v, want %v", err, why)
			}
		})
	}
}

func spliceOnce(s *remote.Session, from *os.File) (int, error) {
	conn, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	return s.Stdin.(interface {
		Splice(from syscall.RawConn) (int, error)
	}).Splice(conn)
}

func spliceAll(s *remote.Session, from *os.File) (all int, err error) {
	for {
		n, err := spliceOnce(s, from)
		if all += n; n == 0 || err != nil {
			return all, err
		}
	}
}

// pipeOf is read to its end, or closed with the test.
func pipeOf(t *testing.T, write func(io.Writer)) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		write(w)
		_ = w.Close()
	}()
	t.Cleanup(func() {
		_ = r.Close()
		<-ended
	})
	return r
}
