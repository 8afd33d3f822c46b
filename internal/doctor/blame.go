package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// sign is a part of a message, and the step that it belongs to.
type sign struct {
	text, step, mend string
	command          func(j config.Job) []string
}

// signs are looked for in this order: a message may have several lines.
func signs() []sign {
	host := func(j config.Job) string { return config.Host(j.Backup.Source) }
	verbose := func(j config.Job) []string { return sshTo(j, "-v") }
	resolve := func(j config.Job) []string { return []string{"getent", "hosts", host(j)} }
	keys := func(j config.Job) []string {
		return slices.Concat([]string{"ssh-keyscan", "-t", "ed25519"}, portOf(j), []string{host(j)})
	}
	const (
		seeWhy  = "to try the way alone"
		compare = "to see its key, which is to be compared with /etc/ssh/ssh_host_ed25519_key.pub there, and put into the file of known hosts if it is the same"
		install = "install rsync on that host, or say where it is: rsync-args = [\"--rsync-path=/path/to/rsync\"]"
	)
	return []sign{
		{"Could not resolve hostname", stepHost, "to look its name up", resolve},
		{"Name or service not known", stepHost, "to look its name up", resolve},
		{"Connection refused", stepHost, seeWhy, verbose},
		{"No route to host", stepHost, seeWhy, verbose},
		{"Network is unreachable", stepHost, seeWhy, verbose},
		{"Connection timed out", stepHost, seeWhy, verbose},
		{"did not answer for", stepHost, seeWhy, verbose},
		{"Host key verification failed", stepHostKey, compare, keys},
		{"REMOTE HOST IDENTIFICATION HAS CHANGED", stepHostKey, compare, keys},
		{"Permission denied (13)", stepSource, "whoever logs in there may not read it, see docs/SSH.md", nil},
		{"Permission denied (", stepLogin, "the public key has to be in authorized_keys there, see docs/SSH.md; " + seeWhy, verbose},
		{"Too many authentication failures", stepLogin, "say which key: ssh-identity", nil},
		{"rrsync error", stepSource, "rrsync lets in what is below its directory: the path of the source begins there, see docs/SSH.md", nil},
		{"command not found", stepRsync, install, nil},
		{"rsync: not found", stepRsync, install, nil},
		{"rsync: No such file or directory", stepRsync, install, nil}, // a shell, of a program with its path
		{"(exit 127)", stepRsync, install, nil},
		{"is your shell clean", stepRsync, "its login prints something before rsync begins; this has to print nothing", func(j config.Job) []string { return append(sshTo(j), "true") }},
		{"protocol version mismatch", stepRsync, "its login prints something before rsync begins; this has to print nothing", func(j config.Job) []string { return append(sshTo(j), "true") }},
		{"auth failed", stepSource, "the daemon wants a name and a password: rsync-args = [\"--password-file=FILE\"]", nil},
		{"Unknown module", stepSource, "to list the modules", func(j config.Job) []string { return []string{"rsync", host(j) + "::"} }},
	}
}

// blame returns the step that an error belongs to, and what to do.
func blame(j config.Job, err error) (step, mend string, command []string) {
	if config.Host(j.Backup.Source) == "" {
		return stepSource, "to see what it is", []string{"ls", "-ld", j.Backup.Source}
	}
	steps := way(j.Backup.Source)
	for _, s := range signs() {
		if !strings.Contains(err.Error(), s.text) || !slices.Contains(steps, s.step) {
			continue
		}
		if s.command != nil {
			command = s.command(j)
		}
		return s.step, s.mend, command
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return stepHost, "", nil
	}
	return stepSource, "to try it alone", append([]string{"rsync", "--list-only", "-e", shellOf(j)}, j.Backup.Source)
}

// portOf is the option of ssh-keyscan for the port that rsh asks for; nothing for the usual one.
func portOf(j config.Job) []string {
	words := strings.Fields(shellOf(j))
	for i, word := range words {
		switch port, found := strings.CutPrefix(word, "-p"); {
		case found && port != "":
			return []string{"-p", port}
		case found && i+1 < len(words):
			return []string{"-p", words[i+1]}
		}
	}
	return nil
}

func shellOf(j config.Job) string {
	if j.Backup.Rsh == "" {
		return "ssh"
	}
	return j.Backup.Rsh
}
