//go:build integration

package faults

import (
	"os"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
)

func TestMain(m *testing.M) {
	testbin.HearHangup()
	os.Exit(testbin.Main(m))
}

// dense reports whether there is time to try every point.
func dense() bool { return os.Getenv("FAULTS") == "dense" }

// sample returns the numbers from 1 to n, or in a normal run at most limit of them, spread evenly and with both ends
// in.
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
