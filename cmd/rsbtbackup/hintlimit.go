// Hints about limits that others have set, and about what a chroot lacks.

package main

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/rsbtbackup/rsbtbackup"
)

// limitHints: a quota, the number of open files, or a chroot without /proc and /dev, which lead to misleading errors.
func limitHints(err error, i invocation) ([]string, bool) {
	text := strings.ToLower(err.Error()) // rsync's errors begin with a capital
	missing := strings.Contains(text, "no such file or directory") && !errors.Is(err, rsbtbackup.ErrUsage)
	switch {
	case errors.Is(err, rsbtbackup.ErrNoSpace) && strings.Contains(text, "disk quota exceeded"):
		return []string{quotaHint(i)}, true
	case strings.Contains(text, "too many open files"):
		return []string{"to allow more open files: ulimit -n 4096"}, true
	case missing && !isHere("/proc/self/fd"):
		return []string{"/proc is not mounted: mount -t proc proc /proc"}, true
	case missing && !isHere("/dev/null"):
		return []string{"there are no device files: mount -t devtmpfs dev /dev"}, true
	}
	return nil, false
}

// quotaHint: deleting backups does not help, and may need space within the quota itself.
func quotaHint(i invocation) string {
	const why = "a quota is used up, not the disk; to see which, with btrfs-progs: "
	command := []string{"btrfs", "qgroup", "show", "-reF"}
	switch c := i.command.(type) {
	case *copyCommand:
		return c.there(why, command...)
	case *restoreCommand:
		if c.Target != "" {
			return why + quoteAll(append(command, c.Target)...)
		}
	}
	return why + quoteAll(append(command, i.dest())...)
}

// immutableHint: a flag of the entry, or of its directory, forbids the change.
func immutableHint(path string) string {
	words := []string{"chattr", "-ia", filepath.Dir(path)}
	if isHere(path) {
		words = append(words, path)
	}
	return "if it is immutable: " + quoteAll(words...)
}
