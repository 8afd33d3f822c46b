package hooks

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The service that runs jobs has a sandbox, which lets it write only to its DESTs. What a hook needs only its author
// knows: to be another user, to mount a disk, to write a dump anywhere. So systemd runs hooks as services of their own,
// without a sandbox. This gives nothing away: root in the service may ask systemd to start any unit.

// unitOf returns a unit name for a hook. When the service ends it stops all units that match Leftover.
func unitOf(service string, now time.Time) string {
	return fmt.Sprintf("rsbtbackup-hook-%s-%d-%d.service", service, os.Getpid(), now.UnixNano())
}

// Leftover is a pattern for the units of all hooks of a service.
func Leftover(service string) string { return "rsbtbackup-hook-" + service + "-*.service" }

// outside is the call of systemd-run. It does not pass the environment of this process, which may have secrets: every
// user can ask systemd for the environment of a unit.
func (o Options) outside(unit string) []string {
	words := []string{
		"systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--unit=" + unit, "--description=Hook of " + o.Service,
		"--property=DefaultDependencies=no", // at a shutdown the service still runs its last hooks
		"--property=UMask=0077", "--property=TimeoutStopSec=" + strconv.FormatInt(max(1, int64(o.Grace/time.Second)), 10),
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		words = append(words, "--setenv=CREDENTIALS_DIRECTORY="+dir)
	}
	for _, v := range o.Env {
		words = append(words, "--setenv="+strings.ToValidUTF8(v, "\uFFFD")) // D-Bus accepts no other bytes
	}
	words = append(words, "--")
	for _, w := range o.Command {
		words = append(words, strings.ReplaceAll(w, "$", "$$")) // systemd expands variables
	}
	return words
}

// findable returns why a program cannot be started. systemd would only say that it failed.
func findable(program string) error {
	_, err := exec.LookPath(program)
	return err
}

// stopUnit ends all processes of a unit with SIGTERM, and after its TimeoutStopSec= with SIGKILL.
func stopUnit(unit string) {
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	_ = exec.CommandContext(ctx, "systemctl", "stop", unit).Run() // it may have ended already
}
