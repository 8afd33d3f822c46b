package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWaitingForInputEnds with a limit, with the run, and not before.
func TestWaitingForInputEnds(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	time.AfterFunc(50*time.Millisecond, func() { _, _ = io.WriteString(w, "x") })
	if n, err := interruptible(t.Context(), r, time.Hour).Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := interruptible(t.Context(), r, time.Second).Read(make([]byte, 9)); err == nil || !strings.Contains(err.Error(), "has sent nothing for 1s") {
		t.Errorf("error %v", err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("why")
	time.AfterFunc(50*time.Millisecond, func() { stop(why) })
	if _, err := interruptible(ctx, r, 0).Read(make([]byte, 9)); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}
