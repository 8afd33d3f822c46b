// The note about pending: whether what a dead run left there can be trusted.

package store

import (
	"encoding/json"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
	"github.com/rsbtbackup/rsbtbackup/internal/mounts"
)

// A workPhase is how far a run has come with pending.
type WorkPhase string

const (
	// phaseTransfer: rsync is writing, or died writing.
	PhaseTransfer WorkPhase = "transfer"
	// phaseSynced: the run ended in good order, and the disk has taken every
	// byte of pending.
	PhaseSynced WorkPhase = "synced"
	// phasePoisoned: the disk refused data and pending could not be removed.
	PhasePoisoned WorkPhase = "poisoned"
)

// WorkNote is .log/pending.json. It needs no fsync: it matters only while the
// page cache it speaks of is alive, and after a power cut its boot id is old.
type WorkNote struct {
	Version  int       `json:"version"`
	WorkUUID string    `json:"work_uuid"` // of the pending it is about
	Phase    WorkPhase `json:"phase"`
	Instance Instance  `json:"instance"`
	Source   string    `json:"source"`         // quoted, so that JSON holds every byte
	Root     string    `json:"root,omitempty"` // what was there, of a local source
}

// Instance names one life of the page cache over one filesystem: the boot, and the time from the first mount to the last
// unmount within it. In-place writes whose data was still in memory at a power cut or an unmount can have left the new
// time and size with the old bytes, so what was written in another instance is compared by checksum.
type Instance struct {
	BootID string `json:"boot_id"`
	// SysInode is that of mounts.SysInode. It is the same in each mount namespace, as a service of systemd has one of its own.
	SysInode uint64 `json:"sys_inode,omitempty"`
	// MountID stands in for it where there is no /sys.
	MountID uint64 `json:"mount_id"`
}

// Known is false where the kernel did not tell; such an instance equals none.
func (i Instance) Known() bool { return i.BootID != "" && (i.MountID != 0 || i.SysInode != 0) }

// readInstance asks the kernel. Of mount ids only the unique ones (Linux 6.8) count: the others are used again after an
// unmount.
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

// readWorkNote returns nil when there is no note, or none that can be read:
// either way nothing is known about pending.
func (s *Store) readWorkNote() *WorkNote {
	data, err := at.ReadFile(s.Log, workNoteName, 64<<10)
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
	return at.WriteFile(s.Log, workNoteName, append(data, '\n'), false)
}

func (s *Store) removeWorkNote() error {
	return at.IgnoreNotExist(at.Unlink(s.Log, workNoteName, 0))
}
