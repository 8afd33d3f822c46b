//go:build integration

package prune

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rsbtbackup/rsbtbackup/internal/testbin"
	"github.com/rsbtbackup/rsbtbackup/internal/testdest"
	"golang.org/x/sys/unix"
)

// If the kernel cannot tell who else has an extent, sizes are upper bounds: if the first deletion frees almost nothing,
// no further backup is deleted.
func TestAKernelThatCannotTellWhoShares(t *testing.T) {
	t.Parallel()
	const size = 20 * megabyte
	for _, shared := range []bool{true, false} {
		t.Run(fmt.Sprint("shared ", shared), func(t *testing.T) {
			t.Parallel()
			dest := testdest.New(t, "512M")
			made := fat(t, dest, 4, size)
			if shared {
				for _, name := range made {
					testdest.Snapshot(t, filepath.Join(dest, name), filepath.Join(filepath.Dir(dest), name), true)
				}
			}
			testdest.SyncAll(t, dest)
			goal := fmt.Sprintf("--min-free=%d", free(t, dest)+size+size/2)
			r := testbin.Finish(t, withoutIoctl(t, 0xc038943b, "prune", dest, goal, "-q")) // BTRFS_IOC_LOGICAL_INO_V2
			if shared {
				wantRefused(t, r, 14, "other files seem to share its data, so nothing more is deleted")
				wantNames(t, dest, made[1:]...)
				return
			}
			testdest.WantExit(t, r, 0)
			wantNames(t, dest, made[2:]...)
		})
	}
}

// withoutIoctl is the command on a kernel that does not know an ioctl: seccomp answers it with ENOTTY.
func withoutIoctl(t testing.TB, request uint32, args ...string) *exec.Cmd {
	t.Helper()
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	const number, secondArgument = 0, 24 // offsets in struct seccomp_data
	filter := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_IOCTL, Jf: 2},
		{Code: load, K: secondArgument},
		{Code: equal, K: request, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOTTY)},
	}
	var program strings.Builder
	for _, f := range filter {
		fmt.Fprintf(&program, "%d,%d,%d,%d,", f.Code, f.Jt, f.Jf, f.K)
	}
	script := fmt.Sprintf(`my $filter = pack("(SCCL)*", %s); my $program = pack("S x![P] P", %d, $filter);
		syscall(%[3]d, %[4]d, 1, 0, 0, 0) == 0 or die $!; syscall(%[3]d, %[5]d, %[6]d, $program) == 0 or die $!; exec @ARGV or die $!`,
		program.String(), len(filter), unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER)
	return exec.Command("perl", append([]string{"-e", script, "--", testbin.Path(t)}, args...)...)
}
