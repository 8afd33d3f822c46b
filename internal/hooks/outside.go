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

// A service that runs jobs has a sandbox that keeps it to its DESTs. A hook has to do what only its author knows: be another
// user, mount a disk, write a dump anywhere. So systemd runs it, as a service of its own without a sandbox. Whoever may run
// units as root could do all of it anyway.

// unitOf is the name of the unit of a hook. The service stops all that are left of it when it ends; see Leftover.
func unitOf(service string, now time.Time) string {
	return fmt.Sprintf("rsbtbackup-hook-%s-%d-%d.service", service, os.Getpid(), now.UnixNano())
}

// Leftover is a pattern for the hooks of a service.
func Leftover(service string) string { return "rsbtbackup-hook-" + service + "-*.service" }

// outside is the call of systemd-run. It knows nothing of the environment of this process, which may have secrets: whoever
// may ask systemd sees that of a unit.
func (o Options) outside(unit string) []string {
	words := []string{
		"systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--unit=" + unit, "--description=Hook of " + o.Service,
		"--property=DefaultDependencies=no", // a shutdown stops the service, which still runs its last hooks
		"--property=UMask=0077", "--property=TimeoutStopSec=" + strconv.FormatInt(max(1, int64(o.Grace/time.Second)), 10),
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		words = append(words, "--setenv=CREDENTIALS_DIRECTORY="+dir)
	}
	for _, v := range o.Env {
		words = append(words, "--setenv="+strings.ToValidUTF8(v, "\uFFFD")) // D-Bus takes no other bytes
	}
	words = append(words, "--")
	for _, w := range o.Command {
		words = append(words, strings.ReplaceAll(w, "$", "$$")) // systemd puts in variables
	}
	return words
}

// findable says why a program cannot be started. systemd would say that it failed, not why.
func findable(program string) error {
	_, err := exec.LookPath(program)
	return err
}

// stopUnit ends all processes of a unit: SIGTERM, and SIGKILL after its TimeoutStopSec=.
func stopUnit(unit string) {
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	_ = exec.CommandContext(ctx, "systemctl", "stop", unit).Run() // it may have ended by itself
}
