// The line of the bar while backups are deleted.

package main

import (
	"fmt"
	"time"
)

// deleted is the number of deleted backups, and of all to delete.
type deleted struct{ done, total int64 }

// deletions counts for the bar.
func deletions(b *bar[deleted]) func(done, total int) {
	return func(done, total int) {
		b.change(func(deleted) deleted { return deleted{int64(done), int64(total)} })
	}
}

// deleteLine fits into width. Before the first deletion, and during the wait for space, only the time changes.
func deleteLine(seen deleted, elapsed time.Duration, width int) string {
	done, total := seen.done, seen.total
	switch {
	case done == 0 && total == 0:
		return fit(width, spinner(elapsed)+" deleting", clock(elapsed))
	case total == 0:
		return fit(width, spinner(elapsed)+" "+plural(done, "backup")+" deleted, waiting for space", clock(elapsed))
	case done >= total:
		return fit(width, spinner(elapsed)+" "+plural(done, "backup")+" deleted", clock(elapsed))
	}
	line := fit(width, fmt.Sprintf("%s of %s deleted", count(done), plural(total, "backup")), clock(elapsed))
	if room := width - len(line) - 4; room >= 10 {
		line = gauge(int(done*100/total), min(room, 30)) + " " + line
	}
	return line
}
