package units

import (
	"fmt"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/hooks"
)

// ServiceVariable is the environment variable by which a service with hooks knows its own name.
const ServiceVariable = "RSBTBACKUP_SERVICE"

// Service is the text of the service.
func (s Started) Service() string {
	var b strings.Builder
	fmt.Fprintln(&b, Marker(s.Name))
	fmt.Fprintf(&b, "# It is written anew by the next --install. Changes of yours belong into: systemctl %sedit %s\n", s.userFlag(), s.Name)
	s.writeUnit(&b)
	s.writeStart(&b)
	s.writePriority(&b)
	s.writeSandbox(&b)
	return b.String()
}

func (s Started) userFlag() string {
	if s.User {
		return "--user "
	}
	return ""
}

func (s Started) writeUnit(b *strings.Builder) {
	fmt.Fprintf(b, "[Unit]\nDescription=rsbtbackup run %s\n", strings.Join(s.Args, " "))
	fmt.Fprintln(b, "Documentation=man:rsbtbackup(8) man:rsbtbackup.toml(5)")
	if (s.reachesOut() || s.hasHooks()) && !s.User { // the manager of a user has no such target
		fmt.Fprintln(b, "Wants=network-online.target\nAfter=network-online.target")
	}
	if dests := s.dests(false); len(dests) > 0 && !s.User {
		fmt.Fprintf(b, "RequiresMountsFor=%s\n", words(dests, ""))
	}
	if s.onMains() {
		fmt.Fprintln(b, "ConditionACPower=true")
	}
	fmt.Fprintln(b, "OnFailure=rsbtbackup-mail@%N.service")
}

func (s Started) writeStart(b *strings.Builder) {
	command := s.command()
	for i, c := range command {
		command[i] = argument(c)
	}
	fmt.Fprintln(b, "\n[Service]\nType=notify")
	fmt.Fprintf(b, "ExecStart=%s\n", strings.Join(command, " "))
	fmt.Fprintln(b, "# 3: published, but not everything could be read. The log names what.\nSuccessExitStatus=3")
	fmt.Fprintln(b, "TimeoutStartSec=infinity")
	fmt.Fprintln(b, "# SIGTERM is for rsbtbackup, which ends rsync in good order.\nKillMode=mixed")
	if s.hasHooks() && !s.User {
		fmt.Fprintln(b, "# Hooks run outside of the sandbox. Those that are left when all else was killed are stopped.")
		fmt.Fprintf(b, "Environment=%s=%%N\nExecStopPost=-systemctl stop %s\n", ServiceVariable, hooks.Leftover("%N"))
	}
	fmt.Fprintln(b, "LogRateLimitIntervalSec=0")
	fmt.Fprintln(b, "UMask=0077")
	if s.Config.Run.State == "" && !s.User {
		fmt.Fprintln(b, "StateDirectory=rsbtbackup\nStateDirectoryMode=0700")
	}
	for _, name := range s.credentials() {
		fmt.Fprintf(b, "LoadCredential=%s\n", name)
	}
}

// writePriority is not for the manager of a user, which may not set a priority (status=214/SETSCHEDULER): there "run"
// lowers it itself.
func (s Started) writePriority(b *strings.Builder) {
	if s.User {
		return
	}
	if n := s.nice(); n > 0 {
		fmt.Fprintf(b, "Nice=%d\n", n)
	}
	if class := s.ionice(); class != "" {
		class, level, _ := strings.Cut(class, ":")
		fmt.Fprintf(b, "IOSchedulingClass=%s\n", class)
		if level != "" {
			fmt.Fprintf(b, "IOSchedulingPriority=%s\n", level)
		}
	}
	if w := s.ioWeight(); w > 0 {
		fmt.Fprintf(b, "IOWeight=%d\n", w)
	}
}
