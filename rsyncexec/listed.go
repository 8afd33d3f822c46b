package rsyncexec

import (
	"strings"
	"time"
)

// Listed is one entry of a source, as rsync lists it.
type Listed struct {
	Kind  byte      // f file, d directory, L symlink, D device, S special file, as in rsync(1) under --itemize-changes
	Mtime time.Time // whole seconds
	Path  string    // relative to the source, byte for byte
}

const (
	listPrefix = "entry: "
	listFormat = listPrefix + "%i %M %n"
	listTime   = "2006/01/02-15:04:05" // in UTC, see command
)

// ParseListed reads a line such as
//
//	entry: >f+++++++++ 2020/01/01-12:00:10 etc/passwd
//
// It is false for any other line.
func ParseListed(line string) (Listed, bool) {
	line, ok := strings.CutPrefix(line, listPrefix)
	if !ok || len(line) < changeWidth+len(listTime)+3 || line[changeWidth] != ' ' || line[changeWidth+1+len(listTime)] != ' ' {
		return Listed{}, false
	}
	kind := line[1]
	mtime, err := time.Parse(listTime, line[changeWidth+1:][:len(listTime)])
	if err != nil || strings.IndexByte("fdLDS", kind) < 0 {
		return Listed{}, false
	}
	path := strings.TrimSuffix(Unescape(line[changeWidth+len(listTime)+2:]), "/")
	return Listed{kind, mtime, path}, true
}
