//go:build integration

// Package faults breaks everything around a backup that can be broken, one
// named test for each fault, and asks the same questions after each: see
// invariant_test.go for them, and docs/RELIABILITY.md for the table of faults.
//
// FAULTS=dense tries every point of a sweep instead of a sample.
package faults

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	useMemory()
	runMoreAtOnce()
	os.Exit(testbin.Main(m))
}

// useMemory lets images lie in memory where there is room: thousands of commits
// then take minutes and not an hour. What survives a power cut is told by
// copies of the image file, wherever that is.
func useMemory() {
	const shm, room = "/dev/shm", 8 << 30
	var st unix.Statfs_t
	if os.Getenv("TMPDIR") != "" || unix.Statfs(shm, &st) != nil {
		return
	}
	if st.Type == unix.TMPFS_MAGIC && st.Bavail*uint64(st.Bsize) > room {
		os.Setenv("TMPDIR", shm)
	}
}

// runMoreAtOnce lets more tests run in parallel than there are processors: most
// of the time they wait for a commit.
func runMoreAtOnce() {
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue {
		_ = flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0)))
	}
}

// dense tells whether there is time to try every point.
func dense() bool { return os.Getenv("FAULTS") == "dense" }

// sample returns the numbers from 1 to n, or in a normal run at most limit of
// them, spread evenly and with both ends in.
func sample(n, limit int) []int {
	if dense() || limit >= n {
		limit = n
	}
	var points []int
	for i := range limit {
		p := n
		if limit > 1 {
			p = 1 + i*(n-1)/(limit-1)
		}
		points = append(points, p)
	}
	return points
}
