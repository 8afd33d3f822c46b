// The note about pending: whether what a dead run left there can be trusted.

package rsbtbackup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"golang.org/x/sys/unix"
)

// A workPhase is how far a run has come with pending.
type workPhase string

const (
	// phaseTransfer: rsync is writing, or died writing.
	phaseTransfer workPhase = "transfer"
	// phaseSynced: the run ended in good order, and the disk has taken every
	// byte of pending.
	phaseSynced workPhase = "synced"
	// phasePoisoned: the disk refused data and pending could not be removed.
	phasePoisoned workPhase = "poisoned"
)

// workNote is .log/pending.json. It needs no fsync: it matters only while the
// page cache it speaks of is alive, and after a power cut its boot id is old.
type workNote struct {
	Version  int       `json:"version"`
	WorkUUID string    `json:"work_uuid"` // of the pending it is about
	Phase    workPhase `json:"phase"`
	Instance instance  `json:"instance"`
	Source   string    `json:"source"`         // quoted, so that JSON holds every byte
	Root     string    `json:"root,omitempty"` // what was there, of a local source
}

// instance names one life of the page cache over one mount: the boot, and the
// mount within it. In-place writes whose data was still in memory at a power
// cut or an unmount can have left the new time and size with the old bytes,
// so what was written in another instance is compared by checksum.
type instance struct {
	BootID  string `json:"boot_id"`
	MountID uint64 `json:"mount_id"`
	// SysInode stands in for MountID where the kernel has no unique ones.
	SysInode uint64 `json:"sys_inode,omitempty"`
}

// known is false where the kernel did not tell; such an instance equals none.
func (i instance) known() bool { return i.BootID != "" && (i.MountID != 0 || i.SysInode != 0) }

// readInstance asks the kernel. Only unique mount ids (Linux 6.8) count: the
// older ones are used again after an unmount.
func readInstance(dir *os.File) instance {
	var i instance
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		i.BootID = strings.TrimSpace(string(id))
	}
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE != 0 {
		i.MountID = st.Mnt_id
	} else {
		i.SysInode = readSysInode(dir, "/sys/fs/btrfs")
	}
	return i
}

// readSysInode returns the inode of the directory that the filesystem of dir
// has in sys from its first mount to its last unmount, or 0 if that is not
// known. sysfs gives inode numbers in turn, and none twice within a boot where
// they have 64 bits (Linux 5.5).
func readSysInode(dir *os.File, sys string) uint64 {
	uuid, err := btrfs.FilesystemUUID(dir)
	if err != nil {
		return 0
	}
	d, err := os.Open(filepath.Join(sys, uuid.String()))
	if err != nil {
		return 0
	}
	defer d.Close()
	var fs unix.Statfs_t
	var st unix.Stat_t
	// What somebody mounted over /sys may have any inode numbers.
	if unix.Fstatfs(int(d.Fd()), &fs) != nil || fs.Type != unix.SYSFS_MAGIC || unix.Fstat(int(d.Fd()), &st) != nil {
		return 0
	}
	return st.Ino
}

// readWorkNote returns nil when there is no note, or none that can be read:
// either way nothing is known about pending.
func (s *store) readWorkNote() *workNote {
	data, err := readFileAt(s.log, workNoteName, 64<<10)
	if err != nil {
		return nil
	}
	return parseWorkNote(data)
}

func parseWorkNote(data []byte) *workNote {
	var n workNote
	if json.Unmarshal(data, &n) != nil || n.Version != 1 {
		return nil
	}
	return &n
}

func (s *store) writeWorkNote(n workNote) error {
	n.Version = 1
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return writeFileAt(s.log, workNoteName, append(data, '\n'), false)
}

func (s *store) removeWorkNote() error {
	return ignoreNotExist(unlinkAt(s.log, workNoteName, 0))
}
