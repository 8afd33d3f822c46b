// What is mounted below a directory.

package mounts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/facts"
	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// Class says what a missing mount means.
type Class int

const (
	OfKernel  Class = iota // holds no user files: ignored
	OfSession              // comes and goes with its directory: missing only if the directory still exists
	OfData                 // a disk, or a share
)

// classOfKind is pure. Mounts of a container, a login or a package are removed with their directory; there are many of
// these in a backup of /.
func classOfKind(kind string) Class {
	switch kind {
	case "proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "configfs", "pstore", "bpf",
		"efivarfs", "mqueue", "hugetlbfs", "autofs", "binfmt_misc", "fusectl", "rpc_pipefs", "nfsd", "nsfs", "selinuxfs",
		"fuse.lxcfs", "fuse.portal", "fuse.gvfsd-fuse":
		return OfKernel
	case "tmpfs", "ramfs", "squashfs", "overlay", "fuse":
		return OfSession
	}
	if strings.HasPrefix(kind, "fuse.") {
		return OfSession
	}
	return OfData
}

// MountsBelow returns the visible mounts below dir, which has no symlinks. Network shares and FUSE are identified by
// their source, because a stat on a mount of an unreachable host would hang.
func (t Table) MountsBelow(dir string) []facts.SourceMount {
	mounts := []facts.SourceMount{}
	for _, m := range t {
		rel, err := filepath.Rel(dir, m.Point)
		if err != nil || rel == "." || !at.IsWithin(m.Point, dir) || classOfKind(m.Kind) == OfKernel || m.isMadeOf(dir) {
			continue
		}
		if top, ok := t.at(m.Point); !ok || top.id != m.id {
			continue
		}
		if up, ok := t.at(filepath.Dir(m.Point)); ok && up.Device == m.Device && up.inside(m.Point) == m.root {
			continue // bound onto itself, as in the sandbox of a service: without it the same files are there
		}
		id := &facts.SourceIdentity{Source: sourceText(m)}
		if m.Kind == "btrfs" || !strings.HasPrefix(m.Device, "0:") {
			if id, err = identifyMounted(m.Point); err != nil {
				continue // not accessible
			}
		}
		mounts = append(mounts, facts.SourceMount{Path: strings.ToValidUTF8(rel, "?"), PathBytes: facts.InvalidUTF8(rel), SourceIdentity: *id})
	}
	slices.SortFunc(mounts, func(a, b facts.SourceMount) int { return strings.Compare(a.Rel(), b.Rel()) })
	return mounts
}

// UnendingBelow returns where proc and sysfs are visible below dir. They hold no data, and /proc/kcore has 128 TiB.
func (t Table) UnendingBelow(dir string) (rels []string) {
	for _, m := range t {
		rel, err := filepath.Rel(dir, m.Point)
		if err != nil || rel == "." || !at.IsWithin(m.Point, dir) || m.Kind != "proc" && m.Kind != "sysfs" {
			continue
		}
		if top, ok := t.at(m.Point); ok && top.id == m.id {
			rels = append(rels, rel)
		}
	}
	return rels
}

// identifyMounted identifies what is mounted at point. Of single files only regular ones are opened. They may be other
// inodes at the next mount, because programs replace files that they change.
func identifyMounted(point string) (*facts.SourceIdentity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(point, &st); err != nil {
		return nil, err
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return nil, unix.ENOTDIR
	}
	f, err := os.OpenFile(point, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	id, err := Identify(f)
	if err == nil && kind == unix.S_IFDIR {
		KeepInode(id, &st)
	}
	return id, err
}

// isMadeOf reports an overlay of what is in dir, as containers have: without it nothing is lost. The layers of others
// may be unknown, as to those in a container.
func (m Mount) isMadeOf(dir string) bool {
	return m.Kind == "overlay" && !slices.ContainsFunc(backing(m), func(layer string) bool { return !at.IsWithin(layer, dir) })
}

// IsShown reports a recorded mount whose files another filesystem, program or host shows.
func IsShown(m facts.SourceMount) bool {
	kind, _, _ := strings.Cut(m.Source, " ")
	return isShownKind(kind)
}

// IsShown is the same for a mount in the table.
func (m Mount) IsShown() bool { return isShownKind(m.Kind) }

func isShownKind(kind string) bool {
	shown := []string{"overlay", "ecryptfs", "nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph"}
	return strings.HasPrefix(kind, "fuse") || slices.Contains(shown, kind)
}

func sourceText(m Mount) string { return strings.ToValidUTF8(m.Kind+" "+m.Source, "?") }

// ClassOf returns the class of a recorded mount, by its type.
func ClassOf(m facts.SourceMount) Class {
	kind, _, _ := strings.Cut(m.Source, " ")
	return classOfKind(kind)
}

// HoldsFiles reports a recorded FUSE mount that a user may miss, such as a pool of disks. Those of programs that show
// themselves, or of containers, are none.
func HoldsFiles(m facts.SourceMount) bool {
	kind, _, _ := strings.Cut(m.Source, " ")
	name := strings.TrimPrefix(kind, "fuse.")
	return ClassOf(m) == OfSession && (name != kind || kind == "fuse") && !strings.Contains(name, "AppImage") &&
		!slices.Contains([]string{"snapfuse", "squashfuse", "squashfuse_ll", "fuse-overlayfs", "archivemount"}, name)
}

// Find returns the mount at path.
func Find(mounts []facts.SourceMount, path string) *facts.SourceMount {
	i := slices.IndexFunc(mounts, func(m facts.SourceMount) bool { return m.Rel() == path })
	if i < 0 {
		return nil
	}
	return &mounts[i]
}

// Moved reports whether the filesystem mounted as m is now mounted at another path, where it was not before. A tmpfs
// cannot be identified by its source.
func Moved(m facts.SourceMount, was, is []facts.SourceMount) bool {
	return ClassOf(m) == OfData && slices.ContainsFunc(is, func(n facts.SourceMount) bool {
		before := Find(was, n.Rel())
		return SameDir(m.SourceIdentity, n.SourceIdentity) && (before == nil || !SameDir(before.SourceIdentity, n.SourceIdentity))
	})
}
