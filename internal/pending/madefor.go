package pending

import (
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// MadeFor reports changes by rsync that only undo the preparation here: links, devices, bits of the mode, and the times
// of their directories. For doubts, files that were to be compared by content (see Doubt), a change of the time is such
// a change, too, and one of attributes, which a copy of the data alone (see SparseFiles) does not set. In a resumed run
// any file may have been in doubts of the run before.
func MadeFor(c rsyncexec.Change, doubts []string, resumed bool) bool {
	if strings.HasPrefix(c.Code, "h") {
		return true
	}
	if len(c.Code) < 11 {
		return false
	}
	kind, flags := c.Code[1], strings.Trim(c.Code[2:], ".+")
	switch {
	case kind == 'D', kind == 'S', kind == 'L' && c.Code[0] == 'c':
		return true
	case kind == 'd':
		return flags == "t"
	}
	if kind == 'f' && flags != "" && strings.Trim(flags, "tpax.") == "" && (resumed || slices.Contains(doubts, c.Path)) {
		return true
	}
	return c.Code[0] == '.' && strings.Trim(flags, "pa.") == ""
}
