package pending

import (
	"strings"

	"github.com/rsbtbackup/rsbtbackup/rsyncexec"
)

// MadeFor reports changes by rsync that only undo what was prepared here: links, devices, bits of the mode, and the
// times of their directories.
func MadeFor(c rsyncexec.Change) bool {
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
	return c.Code[0] == '.' && strings.Trim(flags, "pa.") == ""
}
