// The source: what the user's SRC means, and which directory it is now.

package rsbtbackup

import (
	"fmt"
	"os"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
	"golang.org/x/sys/unix"
)

// source is SRC as a run sees it. The fields below spec are for local
// sources only.
type source struct {
	spec     rsyncexec.Source
	shown    string // as recorded and logged
	dev, ino uint64
	identity *SourceIdentity
	host     string
	empty    bool
	overlap  overlap
	dest     inode      // DEST
	views    []destView // DEST as SRC shows it; with destInside only
}

func (s *source) local() bool { return s.spec.Kind == rsyncexec.Local }

// SourceIdentity tells one filesystem from another, so that the empty mount
// point left by an unmounted disk is noticed, and one directory from another
// that stands at the same path.
type SourceIdentity struct {
	FSType int64  `json:"fs_type"`          // statfs f_type
	FSID   string `json:"fsid"`             // statfs f_fsid; empty where the kernel makes up a new one at each mount
	UUID   string `json:"uuid,omitempty"`   // of the filesystem, in hexadecimal, where it has one
	Source string `json:"source,omitempty"` // type and source of the mount: "nfs4 host:/export"
	// Subvolume is the UUID of the btrfs subvolume SRC is in, Parent that of the
	// one it is a snapshot of.
	Subvolume string `json:"subvolume,omitempty"`
	Parent    string `json:"parent,omitempty"`
	Inode     uint64 `json:"inode,omitempty"` // of SRC, where the filesystem keeps it; 256 for the top of every btrfs snapshot
}

// sameFS tells whether both are one filesystem, and of btrfs one subvolume or
// snapshots of one. It goes by the best that both know: device numbers, which
// f_fsid is made of on many filesystems, are given anew at each boot. Records of
// older versions have f_fsid alone.
func (i SourceIdentity) sameFS(j SourceIdentity) bool {
	switch {
	case i.FSType != j.FSType:
		return false
	case i.UUID != "" && j.UUID != "":
		return i.UUID == j.UUID && i.akin(j)
	case i.Source != "" && j.Source != "" && !lastingFSID(i.FSType):
		return i.Source == j.Source
	}
	return i.FSID == j.FSID && i.akin(j)
}

// akin: a source that is a new snapshot for each backup is meant to be the same.
func (i SourceIdentity) akin(j SourceIdentity) bool {
	if i.Subvolume == "" || j.Subvolume == "" || i.Subvolume == j.Subvolume {
		return true
	}
	return i.Subvolume == j.Parent || i.Parent == j.Subvolume || i.Parent != "" && i.Parent == j.Parent
}

// sameDir tells whether both can be the same directory.
func (i SourceIdentity) sameDir(j SourceIdentity) bool {
	return i.sameFS(j) && (i.Inode == j.Inode || i.Inode == 0 || j.Inode == 0)
}

// root names the directory for the note about pending, which is of this boot.
// Each snapshot of btrfs has a device number of its own, and so has each mount
// of some filesystems without an id.
func (s *source) root() string {
	switch {
	case s.identity == nil:
		return ""
	case s.identity.UUID != "":
		return fmt.Sprintf("%x-%s-%s-%d", s.identity.FSType, s.identity.UUID, s.identity.Subvolume, s.identity.Inode)
	case s.identity.FSID != "":
		return fmt.Sprintf("%x-%s-%d", s.identity.FSType, s.identity.FSID, s.identity.Inode)
	}
	return fmt.Sprintf("%x-%d-%d", s.identity.FSType, s.dev, s.ino)
}

// keepsInodes tells of the common filesystems on disks that a file has one
// inode number for ever; others make them up at each mount.
func keepsInodes(fsType int64) bool {
	switch fsType {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false
}

// describeSource parses src and looks at a local one. dest is the real path
// of DEST, destDir its descriptor.
func describeSource(src, dest string, destDir *os.File) (*source, error) {
	spec, err := rsyncexec.ParseSource(src)
	if err != nil {
		return nil, failf(ErrUsage, "SRC: %w", err)
	}
	s := &source{spec: spec, shown: src}
	if !s.local() {
		return s, nil
	}
	if s.spec.Path, err = absolute(spec.Path); err != nil {
		return nil, kindError{ErrSource, err}
	}
	s.shown = s.spec.Path
	if err := s.look(); err != nil {
		return nil, kindError{ErrSource, err}
	}
	if err := s.compare(dest, destDir); err != nil {
		return nil, err
	}
	if len(s.views) > 0 {
		if s.empty, err = holdsOnly(s.spec.Path, s.viewPaths()); err != nil {
			return nil, kindError{ErrSource, err}
		}
	}
	return s, nil
}

// look opens a local source: only that tells whether it can be read.
func (s *source) look() error {
	dir, err := os.OpenFile(s.spec.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: s.spec.Path, Err: err}
	}
	s.dev, s.ino = uint64(st.Dev), st.Ino
	if s.empty, err = isEmptyDir(dir); err != nil {
		return err
	}
	if s.identity, err = identify(dir); err != nil {
		return err
	}
	if keepsInodes(s.identity.FSType) {
		s.identity.Inode = s.ino
	}
	s.host, err = os.Hostname()
	return err
}

// stillThere tells whether a local source is the directory it was when the
// run began. rsync ends with 0 or 24 when a disk is unmounted, or the whole
// source removed, under its hands. A remote source can not be asked.
func (s *source) stillThere() error {
	if !s.local() {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(s.spec.Path, &st); err != nil {
		return failf(ErrSource, "%s went away during the backup: %w", s.shown, err)
	}
	replaced := uint64(st.Dev) != s.dev || st.Ino != s.ino
	if !replaced && s.identity != nil { // device and inode are those of any XFS that was attached in its place
		now, err := identifyPath(s.spec.Path)
		if err != nil {
			return failf(ErrSource, "%s went away during the backup: %w", s.shown, err)
		}
		replaced = !s.identity.sameFS(*now)
	}
	if replaced {
		return failf(ErrSource, "%s was replaced by another directory during the backup (unmounted?)", s.shown)
	}
	return nil
}

func identifyPath(path string) (*SourceIdentity, error) {
	dir, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return identify(dir)
}

// identify asks the kernel which filesystem dir is on. Of the second word of
// f_fsid btrfs makes the subvolume id (fs/btrfs/super.c), and snapshots of a source
// are meant to be backed up in turn, so only the first counts there. Filesystems
// without a disk make it up at mount time; XFS, FAT, exFAT, F2FS and squashfs take
// the device number.
func identify(dir *os.File) (*SourceIdentity, error) {
	var fs unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(int(dir.Fd()), &fs) }); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir.Name(), Err: err}
	}
	id := &SourceIdentity{FSType: int64(uint32(fs.Type))} // the magic numbers have 32 bits, and so has the field on 32-bit machines
	m := readMount(dir)
	if m.kind != "" {
		id.Source = strings.ToValidUTF8(m.kind+" "+m.source, "?")
	}
	switch id.FSType {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.NFS_SUPER_MAGIC:
		return id, nil
	case unix.FUSE_SUPER_MAGIC:
	case unix.BTRFS_SUPER_MAGIC:
		id.FSID = fmt.Sprintf("%08x", uint32(fs.Fsid.Val[0]))
		if sub, err := btrfs.SubvolumeAround(dir); err == nil {
			id.Subvolume = sub.UUID.String()
			if !sub.ParentUUID.IsZero() {
				id.Parent = sub.ParentUUID.String()
			}
		}
	default:
		id.FSID = fmt.Sprintf("%08x%08x", uint32(fs.Fsid.Val[0]), uint32(fs.Fsid.Val[1]))
	}
	id.UUID = filesystemUUID(dir, m)
	return id, nil
}

// lastingFSID tells of filesystems whose f_fsid is made of what is on the disk.
func lastingFSID(fsType int64) bool {
	switch fsType {
	case unix.EXT4_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return true
	}
	return false
}
