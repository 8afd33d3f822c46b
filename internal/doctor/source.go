package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// reachTime is how long reaching a source may take.
const reachTime = 30 * time.Second

// oldProtocol is the last one of rsync whose times are whole seconds, that of 3.0.
const oldProtocol = 30

// The steps on the way to a source.
const (
	stepIdentity = "identity"
	stepHost     = "host"
	stepHostKey  = "host key"
	stepLogin    = "login"
	stepRsync    = "rsync there"
	stepSource   = "source"
)

// way is the path from here to a source.
func way(source string) []string {
	switch {
	case config.Host(source) == "":
		return []string{stepSource}
	case config.OverSSH(source):
		return []string{stepHost, stepHostKey, stepLogin, stepRsync, stepSource}
	}
	return []string{stepHost, stepSource} // of a daemon
}

// Source tries to reach the source, once: rsync lists only its top directory. If that fails, the message shows which
// step failed.
func Source(ctx context.Context, j config.Job, o Options) []Finding {
	var findings []Finding
	if f := identity(j); f != nil {
		findings = append(findings, *f)
		if f.Level == Failed {
			return append(findings, untried(way(j.Backup.Source))...)
		}
	}
	tried, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("%s did not answer for %v", j.Backup.Source, reachTime))
	defer cancel()
	protocol, err := rsbtbackup.ReachSource(tried, j.Backup)
	if ctx.Err() != nil {
		return findings
	}
	return append(findings, alongTheWay(j, o, protocol, err)...)
}

// alongTheWay makes a finding for each step of one try.
func alongTheWay(j config.Job, o Options, protocol int, err error) []Finding {
	steps := way(j.Backup.Source)
	if errors.Is(err, rsbtbackup.ErrRsyncNotFound) || errors.Is(err, rsbtbackup.ErrRsyncTooOld) {
		return untried(steps) // that is another step
	}
	culprit, mend, command := "", "", []string(nil)
	if err != nil {
		culprit, mend, command = blame(j, err)
	}
	var findings []Finding
	for i, step := range steps {
		switch {
		case step == culprit:
			return append(append(findings, failed(step, err, mend, command...)), untried(steps[i+1:])...)
		case step == stepRsync && protocol > 0 && protocol <= oldProtocol:
			findings = append(findings, Finding{Step: step, Level: Warning, Mend: "install rsync 3.1 or newer there",
				Text: "it is older than 3.1, and leaves out fractions of seconds: a file that is changed twice in one second, and has its size, passes for unchanged"})
		case step == stepSource:
			findings = append(findings, readable(j, o))
		default:
			findings = append(findings, ok(step, reached(j, step)))
		}
	}
	return findings
}

func untried(steps []string) (findings []Finding) {
	for _, step := range steps {
		findings = append(findings, Finding{Step: step, Level: Untried, Text: "not tried"})
	}
	return findings
}

// reached describes a successful step.
func reached(j config.Job, step string) string {
	switch host := config.Host(j.Backup.Source); step {
	case stepHost:
		return host + " answers"
	case stepHostKey:
		if j.SSH.KnownHosts != "" {
			return "that of " + host + " is in " + j.SSH.KnownHosts
		}
		return "that of " + host + " is known"
	case stepLogin:
		return "somebody is let in"
	}
	return "it answers"
}

// readable is about a source that was reached. It is not known for certain who reads it on another machine: a user
// other than root may have all rights.
func readable(j config.Job, o Options) Finding {
	if config.Host(j.Backup.Source) == "" && !o.Root {
		return Finding{Step: stepSource, Level: Warning, Text: j.Backup.Source + " can be listed, but not by root: a backup lacks what only root may read, and ends with 3",
			Mend: "run it as root"}
	}
	return ok(stepSource, j.Backup.Source+" can be listed")
}

// identity checks the private key: ssh ignores it without a visible message if other users may read it.
func identity(j config.Job) *Finding {
	key := j.SSH.Identity
	if key == "" || !config.OverSSH(j.Backup.Source) {
		return nil
	}
	info, err := os.Stat(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f := failed(stepIdentity, err, "to make one", "ssh-keygen", "-t", "ed25519", "-N", "", "-f", key)
		return &f
	case err != nil:
		f := failed(stepIdentity, err, "")
		return &f
	case info.Mode().Perm()&0o077 != 0:
		f := failed(stepIdentity, fmt.Errorf("the mode of %s is %#o: ssh refuses a key that others may read", key, info.Mode().Perm()), "", "chmod", "0600", key)
		return &f
	}
	f := ok(stepIdentity, key)
	return &f
}

// sshTo is the command that tests the connection alone. For a daemon there is no ssh.
func sshTo(j config.Job, more ...string) []string {
	if !config.OverSSH(j.Backup.Source) {
		return []string{"rsync", config.Host(j.Backup.Source) + "::"}
	}
	shell := j.Backup.Rsh
	if shell == "" {
		shell = "ssh"
	}
	login, _, _ := strings.Cut(j.Backup.Source, ":")
	return append(append(strings.Fields(shell), more...), login)
}
