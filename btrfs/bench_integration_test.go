//go:build integration

package btrfs_test

import (
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/rsbtbackup/rsbtbackup/btrfs"
	"github.com/rsbtbackup/rsbtbackup/internal/loopfs"
	"golang.org/x/sys/unix"
)

// BenchmarkSnapshotAndDelete takes and deletes a snapshot in turns through the package and by bare system calls, and
// reports the quotient of the median times as "ratio"; a mean would be at the mercy of the slowest commit.
func BenchmarkSnapshotAndDelete(b *testing.B) {
	dir := loopfs.New(b, "1G")
	root := openDir(b, dir)
	must(b, btrfs.CreateSubvolume(root, "src"))
	src := openDir(b, dir+"/src")
	byPackage := func() {
		must(b, btrfs.CreateSnapshot(root, "snap", src, btrfs.SnapshotOptions{ReadOnly: true}))
		must(b, btrfs.DeleteSubvolume(root, "snap"))
	}
	byCall := func() { bareSnapshotAndDelete(b, root, src) }
	var packaged, bare []time.Duration
	for turn := 0; b.Loop(); turn++ {
		// Each goes first every other time: the one before leaves work to the cleaner.
		if turn%2 == 0 {
			packaged = append(packaged, timed(byPackage))
			bare = append(bare, timed(byCall))
		} else {
			bare = append(bare, timed(byCall))
			packaged = append(packaged, timed(byPackage))
		}
	}
	report(b, packaged, bare)
}

// BenchmarkReadOnly is the cheapest ioctl there is, and so shows what the package itself costs.
func BenchmarkReadOnly(b *testing.B) {
	root := openDir(b, loopfs.New(b, "256M"))
	var packaged, bare []time.Duration
	const batch = 1000 // calls per turn
	for b.Loop() {
		packaged = append(packaged, timed(func() {
			for range batch {
				value(btrfs.ReadOnly(root))(b)
			}
		}))
		bare = append(bare, timed(func() {
			for range batch {
				var flags uint64
				bareIoctl(b, root, 0x80089419, unsafe.Pointer(&flags))
			}
		}))
	}
	report(b, packaged, bare)
}

func timed(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

func report(b *testing.B, packaged, bare []time.Duration) {
	p, q := median(packaged), median(bare)
	b.ReportMetric(float64(p.Nanoseconds()), "package-ns")
	b.ReportMetric(float64(q.Nanoseconds()), "bare-ns")
	b.ReportMetric(float64(p)/float64(q), "ratio")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// bareArgs is struct btrfs_ioctl_vol_args_v2.
type bareArgs struct {
	fd      int64
	transid uint64
	flags   uint64
	_       [4]uint64
	name    [4040]byte
}

func bareSnapshotAndDelete(b *testing.B, root, src *os.File) {
	args := bareArgs{fd: int64(src.Fd()), flags: 1 << 1}
	copy(args.name[:], "snap")
	bareIoctl(b, root, 0x50009417, unsafe.Pointer(&args))
	args.fd, args.flags = 0, 0
	bareIoctl(b, root, 0x5000943f, unsafe.Pointer(&args))
	runtime.KeepAlive(src)
}

func bareIoctl(b *testing.B, f *os.File, request uintptr, arg unsafe.Pointer) {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		b.Fatal(errno)
	}
}
