//go:build linux

package btrfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// Device of a filesystem, with its error counters. The counters are kept over reboots, until somebody resets them.
type Device struct {
	ID    uint64
	UUID  UUID
	Path  string // as the kernel knows it; empty for a missing device
	Total uint64 // bytes
	Used  uint64 // bytes set aside for block groups

	WriteErrors      uint64
	ReadErrors       uint64
	FlushErrors      uint64
	CorruptionErrors uint64 // bad checksum or content
	GenerationErrors uint64 // blocks older than they should be: lost writes
}

// missingPath is the kernel's path for a missing device that it has known before (Linux 6.18).
const missingPath = "<missing disk>"

// DeviceStats lists the devices of the filesystem of f in the order of their ids (BTRFS_IOC_FS_INFO, and for each
// BTRFS_IOC_DEV_INFO and BTRFS_IOC_GET_DEV_STATS).
//
// A missing device is listed with the counters that the others have of it (Linux 6.18).
//
// Anybody may do this. Errors: ErrNotBtrfs; EBADF when f was opened with O_PATH.
func DeviceStats(f *os.File) ([]Device, error) {
	fs := fsInfoArgs{}
	if err := ioctl(f, reqFsInfo, &fs); err != nil {
		return nil, pathError("BTRFS_IOC_FS_INFO", f.Name(), explain(f, err))
	}
	devices := make([]Device, 0, fs.NumDevices)
	for id := uint64(0); id <= fs.MaxID; id++ {
		device, err := deviceInfo(f, id)
		if err == unix.ENODEV {
			continue // ids of removed devices are not used again, and 0 is there during a replacement only
		}
		if err != nil {
			return nil, pathError("BTRFS_IOC_DEV_INFO", f.Name(), err)
		}
		if err := countErrors(f, &device); err != nil {
			return nil, pathError("BTRFS_IOC_GET_DEV_STATS", f.Name(), err)
		}
		devices = append(devices, device)
	}
	return devices, nil
}

// FilesystemUUID returns that of the filesystem of f, which is its name in /sys/fs/btrfs too (BTRFS_IOC_FS_INFO).
//
// Anybody may do this. Errors: ErrNotBtrfs; EBADF when f was opened with O_PATH.
func FilesystemUUID(f *os.File) (UUID, error) {
	fs := fsInfoArgs{}
	if err := ioctl(f, reqFsInfo, &fs); err != nil {
		return UUID{}, pathError("BTRFS_IOC_FS_INFO", f.Name(), explain(f, err))
	}
	return fs.FSID, nil
}

func deviceInfo(f *os.File, id uint64) (Device, error) {
	args := devInfoArgs{DevID: id}
	err := ioctl(f, reqDevInfo, &args)
	path := cString(args.Path[:])
	if path == missingPath {
		path = ""
	}
	return Device{
		ID:    args.DevID,
		UUID:  args.UUID,
		Path:  path,
		Total: args.TotalBytes,
		Used:  args.BytesUsed,
	}, err
}

func countErrors(f *os.File, d *Device) error {
	args := devStatsArgs{DevID: d.ID, NrItems: uint64(len(devStatsArgs{}.Values))}
	err := ioctl(f, reqGetDevStats, &args)
	d.WriteErrors, d.ReadErrors, d.FlushErrors = args.Values[0], args.Values[1], args.Values[2]
	d.CorruptionErrors, d.GenerationErrors = args.Values[3], args.Values[4]
	return err
}
