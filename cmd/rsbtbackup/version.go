// rsbtbackup version

package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/rsbtbackup/rsbtbackup"
)

type versionCommand struct{}

// Help shows how it is used.
func (versionCommand) Help() string {
	return `
EXAMPLE:

    rsbtbackup version`
}

// run reports an rsync that is missing or too old, but does not fail for it.
func (versionCommand) run(ctx context.Context, u *ui, _ *flags) error {
	v := versionObject{Type: "version", Version: programVersion(), Revision: buildSetting("vcs.revision"), Go: runtime.Version()}
	path, rsync, err := rsbtbackup.FindRsync(ctx, "")
	if err == nil {
		v.Rsync, v.RsyncPath = rsync, path
	}
	u.result("rsbtbackup " + v.Version)
	if v.Revision != "" {
		u.result("revision   " + v.Revision)
	}
	u.result("built with " + v.Go + " for " + runtime.GOOS + "/" + runtime.GOARCH)
	if err != nil {
		u.result("rsync      " + oneLine(err))
	} else {
		u.result("rsync      " + v.Rsync + " (" + v.RsyncPath + ")")
	}
	return u.object(v)
}

// programVersion is the version in the binary: the tag it was built from, or one made from the commit.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func buildSetting(key string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
