package jobs

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNoErrorKeepsAHookFromRunning: the text of an error may come from another host, and the kernel starts nothing with
// a NUL, or more than 128 KiB, in a variable.
func TestNoErrorKeepsAHookFromRunning(t *testing.T) {
	for name, text := range map[string]string{
		"plain": "why", "lines": "a\nb", "NUL": "a\x00b", "long": strings.Repeat("ü", 300_000), "empty": "",
	} {
		c := course{job: job("a"), result: result(0, Verdict{Step: Backup, Status: Failed, Error: text})}
		cmd := exec.Command("/bin/sh", "-c", `printf %s "$RSBTBACKUP_ERROR"`)
		cmd.Env = c.environment(FailureHook, "")
		out, err := cmd.Output()
		if err != nil || (len(out) > 0) != (text != "") {
			t.Errorf("%s: %v, %.100q", name, err, out)
		}
	}
}
