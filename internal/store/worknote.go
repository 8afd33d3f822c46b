// The note about pending: whether the pending of an earlier run can be trusted.

package store

import (
	"encoding/json"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// A WorkPhase is how far a run has come with pending.
type WorkPhase string

const (
	// PhaseTransfer: rsync is writing, or crashed while writing.
	PhaseTransfer WorkPhase = "transfer"
	// PhaseSynced: the run ended properly, and all data of pending is on the disk.
	PhaseSynced WorkPhase = "synced"
	// PhasePoisoned: the disk refused data and pending could not be removed.
	PhasePoisoned WorkPhase = "poisoned"
)

// WorkNote is .log/pending.json. It needs no fsync: it matters only within one boot and mount, and after a power cut
// its boot id is outdated.
type WorkNote struct {
	Version  int       `json:"version"`
	WorkUUID string    `json:"work_uuid"` // of the pending it is about
	Phase    WorkPhase `json:"phase"`
	Instance Instance  `json:"instance"`
	Source   string    `json:"source"`         // quoted, so that JSON holds every byte
	Root     string    `json:"root,omitempty"` // identity of the directory, of a local source
}

// Instance identifies the boot, and within it the time from the first mount of the filesystem to its last unmount: the
// lifetime of its page cache. In-place writes whose data was still in memory at a power cut or an unmount can have left
// the new time and size with the old bytes, so what was written in another instance is compared by checksum.
type Instance struct {
	BootID string `json:"boot_id"`
	// SysInode is that of mounts.SysInode. It is the same in every mount namespace; services of systemd have their own
	// ones.
	SysInode uint64 `json:"sys_inode,omitempty"`
	// MountID is used if there is no /sys.
	MountID uint64 `json:"mount_id"`
}

// Known is false if the kernel did not tell; such an instance equals no other.
func (i Instance) Known() bool { return i.BootID != "" && (i.MountID != 0 || i.SysInode != 0) }

// readInstance asks the kernel. Only unique mount ids (Linux 6.8) count: others are reused after an unmount.
func readInstance(dir *os.File) Instance {
	var i Instance
	if id, err := mounts.BootID(); err == nil {
		i.BootID = id
	}
	if i.SysInode = mounts.SysInode(dir); i.SysInode != 0 {
		return i
	}
	var st unix.Statx_t
	err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID_UNIQUE != 0 {
		i.MountID = st.Mnt_id
	}
	return i
}

// readWorkNote returns nil if there is no readable note: nothing is known about pending then.
func (s *Store) readWorkNote() *WorkNote {
	data, err := at.ReadFile(s.logDir, workNoteName, 64<<10)
	if err != nil {
		return nil
	}
	return parseWorkNote(data)
}

func parseWorkNote(data []byte) *WorkNote {
	var n WorkNote
	if json.Unmarshal(data, &n) != nil || n.Version != 1 {
		return nil
	}
	return &n
}

func (s *Store) WriteWorkNote(n WorkNote) error {
	n.Version = 1
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return at.WriteFile(s.logDir, workNoteName, append(data, '\n'), false)
}

func (s *Store) removeWorkNote() error {
	return at.IgnoreNotExist(at.Unlink(s.logDir, workNoteName, 0))
}
