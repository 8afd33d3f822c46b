package main

import (
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
)

func TestLsMode(t *testing.T) {
	for _, tt := range []struct {
		kind string
		mode rsbtbackup.Permissions
		want string
	}{
		{"file", 0o644, "-rw-r--r--"},
		{"directory", 0o1777, "drwxrwxrwt"},
		{"directory", 0o1776, "drwxrwxrwT"},
		{"file", 0o6755, "-rwsr-sr-x"},
		{"file", 0o6644, "-rwSr-Sr--"},
		{"symlink", 0o777, "lrwxrwxrwx"},
		{"fifo", 0, "p---------"},
		{"block device", 0o660, "brw-rw----"},
	} {
		if got := lsMode(rsbtbackup.Entry{Kind: tt.kind, Mode: tt.mode}); got != tt.want {
			t.Errorf("%s %o: %s, want %s", tt.kind, tt.mode, got, tt.want)
		}
	}
}

// A terminal gets text, whole or in pieces, and nothing that drives it.
func TestCatToATerminal(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		ok    bool
	}{
		{[]string{"text\r\n\tmore\n"}, true},
		{[]string{"\xc3", "\xbc \xe2\x82", "\xac"}, true},
		{[]string{"\x1b[31m"}, false},
		{[]string{"a\x00b"}, false},
		{[]string{"\xff"}, false},
		{[]string{"\xc2", "\x9b"}, false},
		{[]string{"\xc3", "x"}, false},
	} {
		var out discard
		w := &catWriter{u: newUI(&out, &out), terminal: true}
		var err error
		for _, part := range tt.parts {
			if err == nil {
				_, err = w.Write([]byte(part))
			}
		}
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.parts, err)
		}
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
