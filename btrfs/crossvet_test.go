//go:build linux

package btrfs_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestCrossVet compiles the package for architectures with every kind of layout there is: 32 and 64 bits, both byte
// orders, both sets of direction bits. The size assertions in structs.go then speak for each.
func TestCrossVet(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64", "386", "arm", "riscv64", "s390x", "ppc64le", "mips64le"} {
		t.Run(arch, func(t *testing.T) {
			cmd := exec.Command("go", "vet", ".")
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("go vet: %v\n%s", err, out)
			}
		})
	}
}
