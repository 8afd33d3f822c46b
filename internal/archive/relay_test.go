package archive

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestRelay: each part of a stream is passed on before the next one comes, and the whole is an archive.
func TestRelay(t *testing.T) {
	r, w := io.Pipe()
	passed := make(chan string)
	var all bytes.Buffer
	out := bufio.NewWriter(io.MultiWriter(&all, told(passed)))
	ended := make(chan error, 1)
	go func() {
		a, err := NewWriter(out, testManifest())
		if err == nil {
			err = a.Relay(r, out)
		}
		if err == nil {
			err = a.Finish()
		}
		ended <- err
		_ = out.Flush()
	}()
	for _, part := range []string{"the ", "stream\n"} {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if got := <-passed; !strings.HasSuffix(got, part) {
			t.Errorf("%q is passed on before %q", got, part)
		}
	}
	_ = w.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	<-passed
	if _, stream, err := read(all.Bytes(), len("the stream\n")); err != nil || stream != "the stream\n" {
		t.Errorf("%q, %v", stream, err)
	}
}

type told chan string

func (t told) Write(p []byte) (int, error) {
	t <- string(p)
	return len(p), nil
}
