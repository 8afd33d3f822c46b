// The flags that say how ssh logs in.

package main

import "github.com/rsbtbackup/rsbtbackup/internal/config"

type sshFlags struct {
	SSHIdentity   string `name:"ssh-identity" placeholder:"FILE" help:"The private key that ssh logs in with, and no other."`
	SSHUser       string `name:"ssh-user" placeholder:"NAME" help:"Who logs in, where SRC does not say it."`
	SSHKnownHosts string `name:"ssh-known-hosts" placeholder:"FILE" help:"The host keys that are accepted, and no others."`
}

func (f sshFlags) given() bool { return f != sshFlags{} }

// shell is rsh with what the flags ask for.
func (f sshFlags) shell(rsh, source string) (string, error) {
	s, err := config.SSH{Identity: f.SSHIdentity, User: f.SSHUser, KnownHosts: f.SSHKnownHosts}.Absolute()
	if err != nil {
		return "", err
	}
	return s.Shell(rsh, source)
}
