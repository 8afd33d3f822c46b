//go:build integration

package differential

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rsbtbackup/rsbtbackup"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
)

// A run that has ended must not keep the lock because another goroutine of the process has just forked: until the child
// calls exec it holds every descriptor, and closing one of two does not unlock.
func TestLockIsFreeWhenBackupReturns(t *testing.T) {
	mount := loopfs.New(t, "512M")
	source, dest := filepath.Join(mount, "source"), filepath.Join(mount, "dest")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	makeOther(t, source)
	newDest(t, dest)
	stop := make(chan struct{})
	var forks sync.WaitGroup
	for range 4 {
		forks.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := exec.Command("true").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	defer forks.Wait()
	defer close(stop)
	for range 40 {
		// A dry run takes the lock and makes nothing.
		if _, err := rsbtbackup.Backup(t.Context(), rsbtbackup.BackupOptions{Source: source, Dest: dest, DryRun: true}); err != nil {
			t.Fatal(err)
		}
	}
}
