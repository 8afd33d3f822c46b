// Notes: small facts in .log for the next run. A note that is missing or damaged is no error: the next run then knows
// less.

package store

import (
	"encoding/json"
	"fmt"

	"github.com/rsbtbackup/rsbtbackup/internal/at"
)

// maxNote limits how much of a note is read.
const maxNote = 64 << 10

// ReadNote reads the note name into v, and reports whether there is one that can be read.
func (s *Store) ReadNote(name string, v any) bool {
	data, err := at.ReadFile(s.logDir, name, maxNote)
	return err == nil && json.Unmarshal(data, v) == nil
}

// WriteNote replaces the note name. It need not survive a power cut.
func (s *Store) WriteNote(name string, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		err = at.WriteFile(s.logDir, name, data, false)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
