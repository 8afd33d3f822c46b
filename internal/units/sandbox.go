package units

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// One rule decides which options are used: a sandbox that changes how the source looks, or what may be written to DEST
// or a copy, makes a wrong backup that exits with 0.
//
//   - ProtectHome=true and PrivateDevices= hide parts of a source. ProtectHome=read-only hides nothing.
//   - PrivateTmp=, ProtectKernelModules= (empties /usr/lib/modules) and ProtectKernelLogs= (closes /dev/kmsg,
//     /proc/kmsg) hide parts, too: they are used if no job has to do with these paths.
//   - RestrictSUIDSGID= refuses the set-id bits of copied files.
//   - ProtectClock= and DevicePolicy= close the device cgroup, which refuses mknod, too. DeviceAllow= permits mknod (m)
//     of every device; to open a device is refused.
//   - PrivateUsers= shows all owners but root as nobody. ProcSubset=pid hides the boot id.
//
// What a hook needs only its author knows: to be another user, to mount a disk, to write a dump anywhere. Hooks run
// outside of the sandbox; see package hooks.

// capabilities: to read and write everything, with owners (CHOWN), modes of others' files and O_NOATIME (FOWNER),
// set-id bits (FSETID), file capabilities (SETFCAP), device nodes (MKNOD), trusted.* attributes and the ioctls of btrfs
// (SYS_ADMIN).
const capabilities = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN CAP_FSETID CAP_SETFCAP CAP_SYS_ADMIN CAP_MKNOD"

func (s Started) writeSandbox(b *strings.Builder) {
	if s.User && s.hasHooks() {
		return // they run inside, and each option below would keep them from set-id programs
	}
	if s.User {
		fmt.Fprintln(b, "\n# It gains no rights beyond those of the user. The manager of a user cannot restrict where it writes.")
	} else {
		fmt.Fprintln(b, "\n# It writes to DEST and its copies, nowhere else, and sees the source as it is.")
		s.writeRootSandbox(b)
	}
	fmt.Fprintln(b, "NoNewPrivileges=true")
	families := "AF_UNIX"
	if s.reachesOut() {
		families += " AF_INET AF_INET6 AF_NETLINK" // netlink: how the C library sorts the addresses of a host
	}
	fmt.Fprintf(b, "RestrictAddressFamilies=%s\n", families)
	fmt.Fprintln(b, "RestrictNamespaces=true\nRestrictRealtime=true\nLockPersonality=true\nMemoryDenyWriteExecute=true")
	fmt.Fprintln(b, "SystemCallArchitectures=native\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM")
}

// writeRootSandbox writes the options that the manager of a user cannot apply: it may not drop capabilities, and could
// hide paths only with PrivateUsers=.
func (s Started) writeRootSandbox(b *strings.Builder) {
	fmt.Fprintf(b, "CapabilityBoundingSet=%s\n", capabilities)
	fmt.Fprintln(b, "ProtectSystem=strict")
	written := s.written()
	if len(written) > 0 {
		fmt.Fprintf(b, "ReadWritePaths=%s\n", words(written, "-")) // "-": one that is missing is told by rsbtbackup
	}
	for _, hidden := range []struct {
		setting string
		free    bool
	}{
		{"PrivateTmp=true", !s.usesTmp()},
		{"ProtectHome=read-only", !slices.ContainsFunc([]string{"/home", "/root", "/run/user"}, func(home string) bool { return slices.Contains(written, home) })},
		{"ProtectKernelModules=true", !s.reads("/usr/lib/modules", "/lib/modules")},
		{"ProtectKernelLogs=true", !s.reads("/dev", "/proc")},
	} {
		if hidden.free {
			fmt.Fprintln(b, hidden.setting)
		}
	}
	fmt.Fprintln(b, "PrivateMounts=true\nProtectProc=invisible\nProtectKernelTunables=true\nProtectControlGroups=true\nProtectHostname=true\nProtectClock=true")
	fmt.Fprintln(b, "DevicePolicy=closed\nDeviceAllow=char-* m\nDeviceAllow=block-* m")
}

// reads reports whether a source on this machine lies in one of dirs, or has it below it.
func (s Started) reads(dirs ...string) bool {
	return slices.ContainsFunc(s.Jobs, func(j config.Job) bool {
		source := j.Backup.Source
		return config.Host(source) == "" && slices.ContainsFunc(dirs, func(dir string) bool { return within(source, dir) || within(dir, source) })
	})
}

// usesTmp reports whether a path of a job lies in /tmp or /var/tmp, or has one of them below it.
func (s Started) usesTmp() bool {
	paths := slices.Concat([]string{s.Program}, s.Config.Files, s.written())
	for _, j := range s.Jobs {
		if config.Host(j.Backup.Source) == "" {
			paths = append(paths, j.Backup.Source)
		}
		paths = append(paths, j.Backup.ExcludeFrom...)
		paths = append(paths, j.Backup.RsyncProgram)
	}
	return slices.ContainsFunc(paths, func(path string) bool {
		return slices.ContainsFunc([]string{"/tmp", "/var/tmp"}, func(tmp string) bool { return within(path, tmp) || within(tmp, path) })
	})
}

// within reports whether path is dir or lies below it.
func within(path, dir string) bool {
	return path != "" && dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}
