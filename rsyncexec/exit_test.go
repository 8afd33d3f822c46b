package rsyncexec

import (
	"strings"
	"testing"
)

// The line rsync ends with says the least: it stands only where there is no other.
func TestExitErrorTellsTheCause(t *testing.T) {
	const summary = "rsync error: some error (code 1) at main.c(1) [client=3.5.0]"
	for _, test := range []struct {
		name       string
		code       int
		complaints []string
		tail       string
		want       string
	}{
		{"nothing is said", ExitFileIO, nil, "", "rsync: error in file I/O (exit 11)"},
		{"the end only", ExitFileIO, []string{summary}, "banner\n" + summary + "\n", "rsync: error in file I/O (exit 11): " + summary},
		{"the first complaint", ExitFileIO, []string{summary, "rsync: a", "rsync: b"}, "", "rsync: error in file I/O (exit 11): rsync: a"},
		{"a rule", ExitSyntax, []string{summary}, "\nUnknown filter rule: `x'\n" + summary + "\n", "rsync: syntax or usage error (exit 1): Unknown filter rule: `x'"},
		{"an option", ExitSyntax, []string{"rsync: --x: unknown option", summary}, "rsync: --x: unknown option\n" + summary + "\n",
			"rsync: syntax or usage error (exit 1): rsync: --x: unknown option"},
		{"the remote shell", ExitShell, []string{summary}, "ssh: no route\n" + summary + "\n", "rsync: remote shell failed (exit 255): ssh: no route"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &ExitError{Code: test.code, Complaints: test.complaints, Tail: test.tail}
			if got := e.Error(); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// As rsync, OpenSSH and the shells of the other side print it.
func TestExitErrorOfAConnection(t *testing.T) {
	const (
		added   = "Warning: Permanently added '[127.0.0.1]:2299' (ED25519) to the list of known hosts.\r\n"
		denied  = "root@127.0.0.1: Permission denied (publickey).\r\n"
		quantum = "** WARNING: connection is not using a post-quantum key exchange algorithm.\n** This session may be vulnerable to \"store now, decrypt later\" attacks.\n"
		banner  = "*** authorized users only ***\r\n\r\n"
		closed  = "rsync: connection unexpectedly closed (0 bytes received so far) [Receiver]\n"
		summary = "rsync error: unexplained error (code 255) at io.c(232) [Receiver=3.5.0]\n"
	)
	for _, test := range []struct{ name, tail, want string }{
		{"a key refused", denied + closed + summary, strings.TrimSpace(denied)},
		{"a host key accepted, then a key refused", added + denied + closed + summary, strings.TrimSpace(denied)},
		{"a banner", banner + denied + closed + summary, strings.TrimSpace(denied)},
		{"advice", quantum + added + banner + "bash: line 1: rsync: command not found\n" + closed + summary, "bash: line 1: rsync: command not found"},
		{"another host key", "@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\nHost key for [127.0.0.1]:2299 has changed and you have requested strict checking.\r\nHost key verification failed.\r\n" + closed + summary,
			"Host key verification failed."},
		{"nothing but warnings", quantum + added + closed + summary, strings.TrimSpace(closed)},
		{"a login script that prints", "protocol version mismatch -- is your shell clean?\n(see the rsync manpage for an explanation)\n" + summary,
			"protocol version mismatch -- is your shell clean?"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := newOutput(Options{})
			l := &lines{emit: out.stderrLine}
			_, _ = l.Write([]byte(test.tail))
			e := &ExitError{Code: ExitShell, Complaints: out.complaints, Tail: out.stderr.String()}
			if got, want := e.Error(), "rsync: remote shell failed (exit 255): "+test.want; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
