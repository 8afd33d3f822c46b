package rsyncexec

import (
	"os"
	"path/filepath"
	"strings"
)

// childEnv is the environment of rsync and of the remote shell it starts: messages in English, and of the caller's
// environment only what ssh needs to find its keys and to ask for a passphrase, and what rsync(1) documents for
// connections. Everything else is left out, above all RSYNC_OLD_ARGS, RSYNC_PARTIAL_DIR and the like, because they
// change the meaning of the options we pass.
func childEnv(lookup func(string) (string, bool)) []string {
	names := []string{
		"HOME", "USER", "LOGNAME", "TERM", "TZ",
		"SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "KRB5CCNAME",
		"RSYNC_PASSWORD", "RSYNC_RSH", "RSYNC_PROXY",
	}
	env := []string{"LC_ALL=C"}
	if path, ok := lookup("PATH"); ok {
		env = append(env, "PATH="+cleanPath(path))
	}
	for _, name := range names {
		if value, ok := lookup(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// cleanPath drops the elements that mean the working directory or depend on it.
func cleanPath(path string) string {
	var kept []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			kept = append(kept, dir)
		}
	}
	return strings.Join(kept, string(os.PathListSeparator))
}
