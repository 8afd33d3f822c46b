package timers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Booted reports whether systemd started this machine; see sd_booted(3).
func Booted() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// ErrCalendar is matched by the error of Next about an expression that systemd does not understand.
var ErrCalendar = errors.New("want a calendar expression of systemd such as daily or 02:30, see systemd.time(7)")

// Next asks systemd when on is due next. Where there is no systemd-analyze the answer is "".
func Next(ctx context.Context, on string) (string, error) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return "", nil
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "calendar", "--", on)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%q: %w", on, ErrCalendar)
	}
	for line := range strings.Lines(out.String()) {
		_, when, found := strings.Cut(line, "Next elapse: ")
		switch when = strings.TrimSpace(when); {
		case found && when == "never":
			return "", fmt.Errorf("%q is never due: %w", on, ErrCalendar)
		case found:
			return when, nil
		}
	}
	return "", nil
}

// run runs a command that says nothing if all is well.
func run(ctx context.Context, words []string) error {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("schedule: %s: %w: %s", strings.Join(words, " "), err, lastLine(string(out)))
	}
	return nil
}

func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}
