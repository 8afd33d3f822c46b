// The flags for the login of ssh.

package main

import "github.com/rsbtbackup/rsbtbackup/internal/config"

type sshFlags struct {
	SSHIdentity   string `name:"ssh-identity" placeholder:"FILE" help:"The private key for ssh. No other is tried."`
	SSHUser       string `name:"ssh-user" placeholder:"NAME" help:"The user for ssh, if SRC does not name one."`
	SSHKnownHosts string `name:"ssh-known-hosts" placeholder:"FILE" help:"A file with the accepted host keys. No others are accepted."`
}

func (f sshFlags) given() bool { return f != sshFlags{} }

// shell is rsh with the options from the flags.
func (f sshFlags) shell(rsh, source string) (string, error) {
	s, err := config.SSH{Identity: f.SSHIdentity, User: f.SSHUser, KnownHosts: f.SSHKnownHosts}.Absolute()
	if err != nil {
		return "", err
	}
	return s.Shell(rsh, source)
}
