//go:build integration

package prune

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
)

// exclusive is what list --size says the deletion of each backup frees, oldest first.
func exclusive(t testing.TB, dest string) []uint64 {
	t.Helper()
	var sizes []uint64
	decode := json.NewDecoder(strings.NewReader(testbin.Must(t, "list", dest, "--size", "--json").Stdout))
	for decode.More() {
		var b struct {
			Type      string
			Exclusive *uint64 `json:"exclusive_bytes"`
		}
		testdest.Must(t, decode.Decode(&b))
		if b.Type == "snapshot" {
			sizes = append(sizes, *b.Exclusive)
		}
	}
	return sizes
}

func wouldFree(t testing.TB, dest string, names ...string) uint64 {
	t.Helper()
	var d struct{ Frees *uint64 }
	testdest.Must(t, json.Unmarshal([]byte(testbin.Must(t, append([]string{"delete", dest, "-n", "--json"}, names...)...).Stdout), &d))
	if d.Frees == nil {
		t.Fatal("nothing is known")
	}
	return *d.Frees
}

// What somebody has taken out of a backup by shared blocks stays when the backup goes, and min-free counts on nothing
// that does.
func TestSharedDataIsNotFreed(t *testing.T) {
	t.Parallel()
	const partly = 1 // less than all
	const size = 20 * megabyte
	for _, tt := range []struct {
		name  string
		take  func(t testing.TB, dest, backup, to string)
		frees uint64 // in the end
	}{
		{"restore by reflink", func(t testing.TB, dest, backup, to string) {
			testbin.Must(t, "restore", dest, backup, "-t", to)
		}, 0},
		{"restore as a subvolume", func(t testing.TB, dest, backup, to string) {
			testbin.Must(t, "restore", dest, backup, "--as-subvolume", to)
		}, 0},
		{"cp --reflink", func(t testing.TB, dest, backup, to string) {
			run(t, "cp", "-a", "--reflink=always", filepath.Join(dest, backup), to)
		}, 0},
		{"a snapshot", func(t testing.TB, dest, backup, to string) {
			run(t, "btrfs", "subvolume", "snapshot", "-r", filepath.Join(dest, backup), to)
		}, 0},
		{"a file in another subvolume, not from its beginning", func(t testing.TB, dest, backup, to string) {
			testdest.NewSubvolume(t, to)
			run(t, "xfs_io", "-f", "-c", fmt.Sprintf("reflink %s %d 0 %d", filepath.Join(dest, backup, "changes"), 4096, 4096), filepath.Join(to, "part"))
		}, partly}, // the extent that has the block stays whole
		{"a snapshot that is deleted", func(t testing.TB, dest, backup, to string) {
			run(t, "btrfs", "subvolume", "snapshot", "-r", filepath.Join(dest, backup), to)
			run(t, "btrfs", "subvolume", "delete", to)
		}, size},
		{"a copy", func(t testing.TB, dest, backup, to string) {
			run(t, "cp", "-a", "--reflink=never", filepath.Join(dest, backup), to)
		}, size},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dest := testdest.New(t, "512M")
			made := fat(t, dest, 3, size)
			before := exclusive(t, dest)[0]
			if before < size || before > size+megabyte {
				t.Fatalf("at first %d", before)
			}
			tt.take(t, dest, made[0], filepath.Join(filepath.Dir(dest), "taken"))
			testdest.SyncAll(t, dest)
			for _, got := range []uint64{exclusive(t, dest)[0], wouldFree(t, dest, made[0])} {
				if tt.frees == partly {
					if got >= before {
						t.Errorf("would free %d, as before", got)
					}
				} else if got > tt.frees+megabyte || tt.frees == size && got < size {
					t.Errorf("would free %d, want %d", got, tt.frees)
				}
			}
			if tt.frees == partly {
				return
			}
			both, all := wouldFree(t, dest, made[0], made[1]), tt.frees+size
			if both > all+2*megabyte || both < all {
				t.Errorf("both would free %d, want %d", both, all)
			}
			if tt.frees > 0 {
				return
			}
			goal := fmt.Sprintf("--min-free=%d", free(t, dest)+size+size/2)
			for _, more := range [][]string{{"-n"}, nil} {
				wantRefused(t, testbin.Run(t, append([]string{"prune", dest, goal, "-q"}, more...)...), 14, "none is deleted for it")
				wantNames(t, dest, made...)
			}
			goal = fmt.Sprintf("--min-free=%d", free(t, dest)+size/2)
			testbin.Must(t, "prune", dest, goal)
			wantNames(t, dest, made[2])
		})
	}
}

// What a backup that cannot be told from others by its neighbours has is asked of the kernel: of two DESTs on one
// filesystem each counts what is its own.
func TestSizesOfTwoDestinations(t *testing.T) {
	t.Parallel()
	dest := testdest.New(t, "512M")
	made := fat(t, dest, 3, 30*megabyte)
	other := filepath.Join(filepath.Dir(dest), "other")
	testdest.Must(t, os.Mkdir(other, 0o700))
	testbin.Must(t, "init", "-q", other)
	testdest.Snapshot(t, filepath.Join(dest, made[0]), filepath.Join(other, made[0]), true)
	testdest.SyncAll(t, dest)
	if here, there := exclusive(t, dest), exclusive(t, other); here[0] > megabyte || there[0] > megabyte || here[1] < 30*megabyte {
		t.Errorf("%d, %d", here, there)
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}
