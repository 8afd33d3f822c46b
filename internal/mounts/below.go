// What is mounted below a directory.

package mounts

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Class says what it means that a mount is gone.
type Class int

const (
	OfKernel  Class = iota // no files of anybody: not looked at
	OfSession              // comes and goes with its directory: missing only where that is still there
	OfData                 // a disk, or a share
)

// classOfKind is pure. What a container, a login or a package mounts goes with its directory; there are many of these
// in a backup of /.
func classOfKind(kind string) Class {
	switch kind {
	case "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "configfs", "pstore", "bpf",
		"efivarfs", "mqueue", "hugetlbfs", "autofs", "binfmt_misc", "fusectl", "rpc_pipefs", "nfsd", "nsfs", "selinuxfs", "overlay",
		"fuse.lxcfs", "fuse.portal", "fuse.gvfsd-fuse":
		return OfKernel
	case "tmpfs", "ramfs", "squashfs", "fuse":
		return OfSession
	}
	if strings.HasPrefix(kind, "fuse.") {
		return OfSession
	}
	return OfData
}

// MountsBelow returns what is mounted below dir, which has no symlinks, and can be seen there. Shares and FUSE are
// known by their source: to look at one of a host that is gone would hang.
func (t Table) MountsBelow(dir string) []facts.SourceMount {
	mounts := []facts.SourceMount{}
	for _, m := range t {
		rel, err := filepath.Rel(dir, m.Point)
		if err != nil || rel == "." || !at.IsWithin(m.Point, dir) || classOfKind(m.Kind) == OfKernel {
			continue
		}
		if top, ok := t.at(m.Point); !ok || top.id != m.id {
			continue
		}
		id := &facts.SourceIdentity{Source: sourceText(m)}
		if m.Kind == "btrfs" || !strings.HasPrefix(m.Device, "0:") {
			var st unix.Stat_t
			if id, err = IdentifyPath(m.Point); err != nil || unix.Stat(m.Point, &st) != nil {
				continue // of a file, or not for us to look at
			}
			KeepInode(id, &st)
		}
		mounts = append(mounts, facts.SourceMount{Path: strings.ToValidUTF8(rel, "?"), PathBytes: facts.InvalidUTF8(rel), SourceIdentity: *id})
	}
	slices.SortFunc(mounts, func(a, b facts.SourceMount) int { return strings.Compare(a.Rel(), b.Rel()) })
	return mounts
}

func sourceText(m Mount) string { return strings.ToValidUTF8(m.Kind+" "+m.Source, "?") }

// ClassOf tells it by the type that is on record.
func ClassOf(m facts.SourceMount) Class {
	kind, _, _ := strings.Cut(m.Source, " ")
	return classOfKind(kind)
}

// Find returns the mount at path.
func Find(mounts []facts.SourceMount, path string) *facts.SourceMount {
	i := slices.IndexFunc(mounts, func(m facts.SourceMount) bool { return m.Rel() == path })
	if i < 0 {
		return nil
	}
	return &mounts[i]
}

// Moved tells whether what was mounted as m is mounted at another path now, where it was not. tmpfs is not known by its
// source.
func Moved(m facts.SourceMount, was, is []facts.SourceMount) bool {
	return ClassOf(m) == OfData && slices.ContainsFunc(is, func(n facts.SourceMount) bool {
		before := Find(was, n.Rel())
		return SameDir(m.SourceIdentity, n.SourceIdentity) && (before == nil || !SameDir(before.SourceIdentity, n.SourceIdentity))
	})
}
