package machine

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// KeepAwake keeps this machine from being suspended, by itself or by a command, until release is called or this process ends.
// To close the lid suspends it all the same. Where systemd-logind does not run, or this user may not ask it, nothing happens.
//
// systemd-inhibit holds the lock while the program that it runs lives, and that reads a pipe of which only we have the other
// end.
func KeepAwake(why string) (release func()) {
	r, w, err := os.Pipe()
	if err != nil {
		return func() {}
	}
	cmd := exec.Command("systemd-inhibit", "--what=sleep:idle", "--who=rsbtbackup", "--why="+why, "--mode=block", "cat")
	cmd.Stdin = r
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOTIFY_SOCKET=") }) // it would tell systemd of itself
	err = cmd.Start()
	_ = r.Close() // the program has its own
	if err != nil {
		_ = w.Close()
		return func() {}
	}
	return func() {
		_ = w.Close()
		_ = cmd.Process.Kill() // it may still wait for an answer
		_ = cmd.Wait()
	}
}
