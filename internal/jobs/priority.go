package jobs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioShift      = 13
	ioprioBestEffort = 2
	ioprioIdle       = 3
)

// lowers reports whether a job has another priority than this process.
func lowers(j config.Job) bool { return j.Nice != 0 || j.Ionice != "" }

// lower gives the calling thread the priority of the job; child processes inherit it. On Linux both priorities belong
// to a thread: 0 is the calling one. An ordinary user cannot raise it again, so the thread must not be used for another
// job.
func lower(j config.Job) error {
	if j.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, j.Nice); err != nil {
			return fmt.Errorf("nice %d: %w", j.Nice, err)
		}
	}
	if j.Ionice == "" {
		return nil
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprio(j.Ionice)); errno != 0 {
		return fmt.Errorf("ionice %s: %w", j.Ionice, errno)
	}
	return nil
}

// ioprio parses a text that the config has checked.
func ioprio(s string) uintptr {
	if level, ok := strings.CutPrefix(s, "best-effort:"); ok {
		n, _ := strconv.Atoi(level)
		return ioprioBestEffort<<ioprioShift | uintptr(n)
	}
	return ioprioIdle << ioprioShift
}
