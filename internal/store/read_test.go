package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLockOwners(t *testing.T) {
	const locks = `1: FLOCK  ADVISORY  WRITE 16378 01:3e:259 0 EOF
2: FLOCK  ADVISORY  READ 2 01:3e:259 0 EOF
3: POSIX  ADVISORY  WRITE 3 01:3e:259 0 EOF
4: FLOCK  ADVISORY  WRITE 4 01:3e:256 0 EOF
4: -> FLOCK  ADVISORY  WRITE 5 01:3e:259 0 EOF
5: FLOCK  ADVISORY  WRITE 6 00:6a:259 0 EOF
6: FLOCK  ADVISORY  WRITE 7 01:3e:259 0 EOF
`
	if diff := cmp.Diff([]int{16378, 7}, lockOwners(locks, "1:62", 259)); diff != "" {
		t.Error(diff)
	}
	if got := lockOwners(locks, "", 259); got != nil {
		t.Errorf("of no device: %v", got)
	}
}
