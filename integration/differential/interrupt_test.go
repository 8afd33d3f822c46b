//go:build integration

package differential

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/rsbtbackup/rsbtbackup"
	"golang.org/x/sys/unix"
)

// An interruption ends a run early: by cancelling it, or by killing rsync or the child of rsync.
type interruption int

const (
	cancelled interruption = iota
	clientKilled
	childKilled
	interruptions
)

func (i interruption) String() string {
	return [...]string{"cancelled", "rsync killed", "child of rsync killed"}[i]
}

// killer is an rsync that kills itself, or its child, after the time in a file beside it. Only the file is written
// later: a program that is being written while another thread forks cannot be run.
const killer = `#!/bin/sh
case "$*" in --version) exec rsync --version ;; esac
read -r delay victim <"$0.plan"
rsync "$@" &
pid=$!
sleep "$delay"
case $victim in
client) kill -9 $pid ;;
child) kill -9 $(cat /proc/$pid/task/$pid/children) ;;
esac
wait $pid
`

// arrange returns a context and changes o such that the run ends after about the given time.
func (i interruption) arrange(o *rsbtbackup.BackupOptions, killer string, after time.Duration) (context.Context, context.CancelFunc, error) {
	if i == cancelled {
		ctx, cancel := context.WithTimeout(context.Background(), after)
		return ctx, cancel, nil
	}
	victim := map[interruption]string{clientKilled: "client", childKilled: "child"}[i]
	o.RsyncProgram = killer
	plan := fmt.Sprintf("%.4f %s\n", after.Seconds(), victim)
	return context.Background(), func() {}, os.WriteFile(killer+".plan", []byte(plan), 0o600)
}

// tear makes of the unfinished backup what a power cut can make of it: files that have the right size and time but
// other bytes; and takes away the note that would say they can be trusted. It does nothing when there is no unfinished
// backup.
func tear(rng *rand.Rand, dest string) error {
	pending := filepath.Join(dest, "pending")
	if _, err := os.Lstat(pending); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.Remove(filepath.Join(dest, ".log", "pending.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	entries, err := (&world{root: pending}).entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.isFile() && e.stat.Size > 0 && rng.IntN(4) == 0 {
			if err := garble(rng, filepath.Join(pending, e.rel), e); err != nil {
				return err
			}
		}
	}
	return nil
}

func garble(rng *rand.Rand, path string, e entry) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	zeros := make([]byte, min(e.stat.Size, 4096))
	if _, err := f.WriteAt(zeros, rng.Int64N(e.stat.Size-int64(len(zeros))+1)); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{e.stat.Atim, e.stat.Mtim}, 0)
}
