package rsyncexec

import "testing"

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
