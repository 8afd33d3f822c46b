package pending

import (
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// MadeFor reports changes by rsync that only undo the preparation here: links, devices, bits of the mode, and the times
// of their directories. For doubts, files that were to be compared by content (see Doubt), a change of the time is such
// a change, too, and one of attributes, which a copy of the data alone (see SparseFiles) does not set. In a resumed run
// any file may have been in doubts of the run before.
func MadeFor(doubts []string, resumed bool) func(rsyncexec.Change) bool {
	doubted := make(map[string]bool, len(doubts))
	for _, path := range doubts {
		doubted[path] = true
	}
	return func(c rsyncexec.Change) bool { return madeFor(c, resumed || doubted[c.Path]) }
}

func madeFor(c rsyncexec.Change, compared bool) bool {
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
	if kind == 'f' && flags != "" && strings.Trim(flags, "tpax.") == "" && compared {
		return true
	}
	return c.Code[0] == '.' && strings.Trim(flags, "pa.") == ""
}
