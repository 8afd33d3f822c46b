package machine

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// KeepAwake prevents the machine from being suspended, automatically or by a command, until release is called or this
// process ends. Closing the lid still suspends it. Without systemd-logind, or without permission, it does nothing.
//
// systemd-inhibit holds the lock as long as its program runs. That program reads from a pipe, whose other end only this
// process has.
func KeepAwake(why string) (release func()) {
	r, w, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	cmd := exec.Command("systemd-inhibit", "--what=sleep:idle", "--who=rsbtbackup", "--why="+why, "--mode=block", "cat")
	cmd.Stdin = r
	// With NOTIFY_SOCKET it would report its own state as that of this process.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOTIFY_SOCKET=") })
	err = cmd.Start()
	_ = r.Close() // the child has its own
	if err != nil {
		_ = w.Close()
		return func() {}
	}
	return func() {
		_ = w.Close()
		_ = cmd.Process.Kill() // it may still wait for an answer of logind
		_ = cmd.Wait()
	}
}
