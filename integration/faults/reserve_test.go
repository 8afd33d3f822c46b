//go:build integration

package faults

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// TestRunsAfterAFullDiskContinue has a disk that fills up in the transfer, and whose last free block another program
// takes after each run: the log says so of each, nothing starts from the beginning, and with space the next run sends
// only what is missing.
func TestRunsAfterAFullDiskContinue(t *testing.T) {
	for _, earlier := range []int{0, 1} {
		t.Run(fmt.Sprint(earlier, " earlier"), func(t *testing.T) {
			t.Parallel()
			mount := loopfs.New(t, "300M")
			src := newTree(t)
			d := newDest(t, mount, src, earlier)
			b := fillData(t, mount, 30<<20)
			const files = 60
			for i := range files {
				src.write(t, fmt.Sprintf("much %02d", i), 1<<20)
			}
			for i := range 5 {
				full := run(t, "backup", src.dir, d.path)
				wantExit(t, full, 14)
				log := read(t, d.join(".log", "activity.log"))
				if n := strings.Count(log, `msg="backup failed"`); n != i+1 {
					t.Errorf("the log tells of %d failures, want %d:\n%s", n, i+1, log)
				}
				if strings.Contains(log, "an unfinished backup is removed") || strings.Contains(log, "an unfinished backup was removed") || strings.Contains(full.stderr, "activity.log") ||
					strings.Contains(log, "no space to record") {
					t.Errorf("run %d: %s\n%s", i+1, full.stderr, log)
				}
				b.writeAll(t, fmt.Sprint("rest ", i))
			}
			b.remove(t)
			r := run(t, "backup", "--json", src.dir, d.path)
			wantExit(t, r, 0)
			var report struct {
				Resumed bool `json:"resumed"`
				Stats   struct {
					Literal int64 `json:"literal"`
				} `json:"stats"`
			}
			if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
				t.Fatalf("%v: %s", err, r.stdout)
			}
			if most := int64(50 << 20); !report.Resumed || report.Stats.Literal > most {
				t.Errorf("resumed %v, %d bytes sent of %d\n%s", report.Resumed, report.Stats.Literal, files<<20, r.stderr)
			}
			d.check(t, src)
		})
	}
}
