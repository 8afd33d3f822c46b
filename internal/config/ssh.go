// How the remote shell is called, by keys of their own in the place of a whole command line.

package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// SSH says who logs in at a source, with which key, and by which file its host is known.
type SSH struct {
	Identity   string // a file with a private key; no other key is tried
	User       string // for a source that names none
	KnownHosts string // a file with the keys of hosts; a host that is not in it is refused
}

// Shell is the remote shell for a source: rsh, or ssh, with what s asks for. Another program than ssh is refused,
// because its options are unknown. A source on this machine, or of a daemon, needs no shell.
func (s SSH) Shell(rsh, source string) (string, error) {
	if s == (SSH{}) || !OverSSH(source) {
		return rsh, nil
	}
	if err := s.check(); err != nil {
		return "", err
	}
	if rsh == "" {
		rsh = "ssh"
	}
	if program, _, _ := strings.Cut(strings.TrimLeft(rsh, " "), " "); path.Base(program) != "ssh" {
		return "", fmt.Errorf("ssh-identity, ssh-user and ssh-known-hosts are options of ssh, and rsh is %q: give them in rsh", rsh)
	}
	words := []string{rsh}
	if s.Identity != "" {
		words = append(words, "-i", s.Identity, "-o", "IdentitiesOnly=yes")
	}
	if s.User != "" && !namesUser(source) {
		words = append(words, "-l", s.User)
	}
	if s.KnownHosts != "" {
		words = append(words, "-o", "UserKnownHostsFile="+s.KnownHosts, "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes")
	}
	return strings.Join(words, " "), nil
}

// plainPath is what neither rsync, which takes the command line apart, nor ssh, which puts something in the place of %
// and ${, reads in another way. It is compiled when it is asked for: each start of the command would pay for a global.
func plainPath(path string) bool {
	return regexp.MustCompile(`^/[\p{L}\p{N}/._@+,=:~-]*$`).MatchString(path)
}

func plainUser(name string) bool {
	return regexp.MustCompile(`^[\p{L}\p{N}_.][\p{L}\p{N}_.@\\$-]*$`).MatchString(name)
}

func (s SSH) check() error {
	switch {
	case s.Identity != "" && !plainPath(s.Identity):
		return fmt.Errorf("ssh-identity: %q: %w", s.Identity, errPath)
	case s.KnownHosts != "" && !plainPath(s.KnownHosts):
		return fmt.Errorf("ssh-known-hosts: %q: %w", s.KnownHosts, errPath)
	case s.User != "" && !plainUser(s.User):
		return fmt.Errorf("ssh-user: %q is no name of a user", s.User)
	}
	return nil
}

var errPath = errors.New("want the absolute path of a file, without blanks, quotes, % and $")

// OverSSH reports whether a source is read by a remote shell: host:/path, but not host::module or a local path.
func OverSSH(source string) bool {
	if Host(source) == "" || strings.HasPrefix(source, "rsync://") {
		return false
	}
	before, _, _ := strings.Cut(source, "/")
	if i := strings.LastIndex(before, "]"); i >= 0 {
		before = before[i:]
	}
	return !strings.Contains(before, "::")
}

// namesUser reports a source that names the user: user@host:/path.
func namesUser(source string) bool {
	host, _, _ := strings.Cut(source, ":")
	return strings.Contains(host, "@") && !strings.Contains(host, "/")
}

// absolute is for flags, which may name a file from the working directory on.
func (s SSH) Absolute() (SSH, error) {
	for _, file := range []*string{&s.Identity, &s.KnownHosts} {
		if *file == "" {
			continue
		}
		abs, err := filepath.Abs(*file)
		if err != nil {
			return s, err
		}
		*file = abs
	}
	return s, nil
}
