package rsyncexec

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSource(t *testing.T) {
	tests := []struct {
		text    string
		want    Source
		operand string
	}{
		{"/etc", Source{Path: "/etc"}, "/etc/"},
		{"/", Source{Path: "/"}, "/"},
		{"/a:b", Source{Path: "/a:b"}, "/a:b/"},
		{"/a@[b]:c", Source{Path: "/a@[b]:c"}, "/a@[b]:c/"},
		{"/with space\nand newline/", Source{Path: "/with space\nand newline/"}, "/with space\nand newline/"},
		{"./a:b", Source{Path: "./a:b"}, "./a:b/"},
		{"-dash", Source{Path: "-dash"}, "-dash/"}, // the caller makes it absolute
		{"a/b:c", Source{Path: "a/b:c"}, "a/b:c/"},
		{"a/rsync://x", Source{Path: "a/rsync://x"}, "a/rsync://x/"},

		{"host:/etc", Source{Kind: Shell, Host: "host", Path: "/etc"}, "host:/etc/"},
		{"host:etc", Source{Kind: Shell, Host: "host", Path: "etc"}, "host:etc/"},
		{"host:", Source{Kind: Shell, Host: "host"}, "host:./"},
		{"host:~", Source{Kind: Shell, Host: "host"}, "host:./"},
		{"host:~/x", Source{Kind: Shell, Host: "host", Path: "x"}, "host:x/"},
		{"host:~/~x", Source{Kind: Shell, Host: "host", Path: "./~x"}, "host:./~x/"},
		{"host:/", Source{Kind: Shell, Host: "host", Path: "/"}, "host:/"},
		{"host:-e", Source{Kind: Shell, Host: "host", Path: "-e"}, "host:./-e/"},
		{"host:/a:b", Source{Kind: Shell, Host: "host", Path: "/a:b"}, "host:/a:b/"},
		{"host:/x*y", Source{Kind: Shell, Host: "host", Path: "/x*y"}, `host:/x\*y/`},
		{`host:/a\b/x?`, Source{Kind: Shell, Host: "host", Path: `/a\b/x?`}, `host:/a\b/x\?/`},
		{"me@host:p", Source{Kind: Shell, User: "me", Host: "host", Path: "p"}, "me@host:p/"},
		{"[fd00::1]:/p", Source{Kind: Shell, Host: "fd00::1", Path: "/p"}, "[fd00::1]:/p/"},
		{"me@[fe80::1%eth0]:p", Source{Kind: Shell, User: "me", Host: "fe80::1%eth0", Path: "p"}, "me@[fe80::1%eth0]:p/"},

		{"host::m", Source{Kind: Daemon, Host: "host", Module: "m"}, "host::m/"},
		{"host::m/", Source{Kind: Daemon, Host: "host", Module: "m"}, "host::m/"},
		{"me@host::m/a b", Source{Kind: Daemon, User: "me", Host: "host", Module: "m", Path: "a b"}, "me@host::m/a b/"},
		{"host::m/-n", Source{Kind: Daemon, Host: "host", Module: "m", Path: "-n"}, "host::m/./-n/"},
		{"[fd00::1]::m/p", Source{Kind: Daemon, Host: "fd00::1", Module: "m", Path: "p"}, "[fd00::1]::m/p/"},
		{"rsync://host/m/p", Source{Kind: Daemon, Host: "host", Module: "m", Path: "p"}, "host::m/p/"},
		{"RSYNC://me@host:873/m", Source{Kind: Daemon, User: "me", Host: "host", Port: "873", Module: "m"}, "rsync://me@host:873/m/"},
		{"rsync://[fd00::1]:1/m/p/", Source{Kind: Daemon, Host: "fd00::1", Port: "1", Module: "m", Path: "p/"}, "rsync://[fd00::1]:1/m/p/"},
	}
	for _, test := range tests {
		got, err := ParseSource(test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
		if got.Operand() != test.operand {
			t.Errorf("%q: operand %q, want %q", test.text, got.Operand(), test.operand)
		}
		if again, err := ParseSource(got.String()); err != nil || again != got {
			t.Errorf("%q: String %q parses as %+v, %v", test.text, got, again, err)
		}
	}
}

func TestParseSourceRefuses(t *testing.T) {
	tests := []string{
		"", "a\x00b", ":", ":path", "::m", "-oProxyCommand=x:/p", "-h:p", "me@-h:p", "-me@host:p", "@host:p", "me@:p",
		"me@you@host:p", "ho st:p", "host\n:p", "ho$st:p", "host;x:p", "hö:p", "`id`:p", "[::1:p", "[host]:p", "[127.0.0.1]:p", "[::1%a b]:p",
		"host:~root/x", "host::", "host::/", "host::-m", "host::m*", "host::m\n", "rsync://", "rsync://host", "rsync://host/",
		"rsync://host:0/m", "rsync://host:x/m", "rsync://host:/m", "rsync://host:+1/m", "rsync://host:65536/m", "rsync:///m", "rsync://-h/m",
		"a b:c",
	}
	for _, text := range tests {
		got, err := ParseSource(text)
		if !errors.Is(err, ErrSource) {
			t.Errorf("%q: accepted as %+v, error %v", text, got, err)
		}
	}
}

// What is accepted never reaches rsync as an option, nor ssh as one, and says the same when written and read again.
func FuzzParseSource(f *testing.F) {
	for _, seed := range []string{
		"/etc", "./a:b", "-dash", "host:/p", "me@[fe80::1%eth0]:p", "host::m/p", "rsync://me@host:873/m/p", "host:~/~x",
		"host:-e", "-h:p", "me@-h:p", "host:x*\\", "rsync://host//m", "/a@[b]:c", "host:~//:x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src, err := ParseSource(text)
		if err != nil {
			if src != (Source{}) || !errors.Is(err, ErrSource) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q: %+v with error %v", text, src, err)
			}
			return
		}
		if again, err := ParseSource(src.String()); err != nil || again != src {
			t.Fatalf("%q: %+v is written %q, read as %+v, %v", text, src, src, again, err)
		}
		colon, slash := strings.IndexByte(text, ':'), strings.IndexByte(text, '/')
		if looksRemote := colon >= 0 && (slash < 0 || colon < slash); looksRemote != (src.Kind != Local) {
			t.Fatalf("%q: rsync takes it for remote: %v, we do not agree: %+v", text, looksRemote, src)
		}
		if src.Kind == Local {
			src.Path = filepath.Join("/", "cwd") + "/" + src.Path
			if !strings.HasPrefix(src.Operand(), "/") {
				t.Fatalf("%q: operand %q", text, src.Operand())
			}
		} else if strings.HasPrefix(src.Host, "-") || strings.HasPrefix(src.User, "-") || src.Host == "" {
			t.Fatalf("%q: %+v", text, src)
		}
		operand := src.Operand()
		if strings.HasPrefix(operand, "-") || !strings.HasSuffix(operand, "/") {
			t.Fatalf("%q: operand %q", text, operand)
		}
		if src.Kind == Local {
			return
		}
		remote, err := ParseSource(operand)
		if err != nil || remote.Kind != src.Kind || remote.User != src.User || remote.Host != src.Host || remote.Port != src.Port || remote.Module != src.Module {
			t.Fatalf("%q: operand %q means %+v, %v", text, operand, remote, err)
		}
		if strings.HasPrefix(remote.Path, "-") || strings.HasPrefix(remote.Path, "~") && src.Kind == Shell {
			t.Fatalf("%q: the other side reads more than a path in %q", text, operand)
		}
		if src.Kind == Shell && (remote.Path == "/") != (src.Path == "/") {
			t.Fatalf("%q: path %q became %q", text, src.Path, remote.Path)
		}
	})
}
