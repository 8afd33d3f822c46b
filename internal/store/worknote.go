// The note about pending: whether the pending of an earlier run can be trusted.

package store

import (
	"encoding/json"
	"errors"

	"github.com/rsbtbackup/rsbtbackup/facts"
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
	Source   string    `json:"source"`         // quoted, so that JSON holds every byte
	Root     string    `json:"root,omitempty"` // identity of the directory, of a local source
	// Instance is that of the filesystem of DEST when pending was written.
	Instance mounts.Instance `json:"instance"`
	// Seen is what pending was made ready for: of each file that it has with the size and time that the source had
	// then, it has the content too.
	Seen Seen `json:"seen,omitzero"`
}

// Seen is what a walk has seen of the source.
type Seen struct {
	Catalog     string             `json:"catalog"` // checksum; empty if there is none
	Generations *facts.Generations `json:"generations,omitempty"`
}

// readWorkNote returns nil if there is no readable note: nothing is known about pending then.
func (s *Store) readWorkNote() *WorkNote {
	data, err := at.ReadFile(s.logDir, workNoteName, 1<<20)
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
	return errors.Join(at.IgnoreNotExist(at.Unlink(s.logDir, workNoteName, 0)), at.IgnoreNotExist(at.Unlink(s.logDir, workCatalogName, 0)))
}
