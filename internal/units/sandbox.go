package units

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rsbtbackup/rsbtbackup/internal/config"
)

// The following options are left out on purpose. A sandbox that changes how the source looks, or what may be written to
// DEST or a copy, makes a wrong backup that exits with 0:
//
//   - ProtectHome=, ProtectKernelModules= (empties /usr/lib/modules), ProtectKernelLogs= and PrivateDevices= hide parts
//     of a source; PrivateTmp= hides /tmp and /var/tmp, so it stands only where no job has to do with them.
//   - RestrictSUIDSGID= refuses the set-id bits of copied files.
//   - PrivateDevices=, ProtectClock= and DeviceAllow= close the device cgroup, which refuses mknod too.
//   - PrivateUsers= makes all owners but root nobody.

// capabilities: to read and write everything, with owners (CHOWN), modes of others' files and O_NOATIME (FOWNER),
// set-id bits (FSETID), file capabilities (SETFCAP), device nodes (MKNOD), trusted.* attributes and the ioctls of btrfs
// (SYS_ADMIN).
const capabilities = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN CAP_FSETID CAP_SETFCAP CAP_SYS_ADMIN CAP_MKNOD"

func (s Started) writeSandbox(b *strings.Builder) {
	fmt.Fprintln(b, "\n# It writes to DEST and its copies, nowhere else, and sees the source as it is.")
	if !s.User {
		s.writeRootSandbox(b)
	}
	fmt.Fprintln(b, "NoNewPrivileges=true")
	families := "AF_UNIX"
	if s.reachesOut() {
		families += " AF_INET AF_INET6 AF_NETLINK" // netlink: how the C library sorts the addresses of a host
	}
	fmt.Fprintf(b, "RestrictAddressFamilies=%s\n", families)
	fmt.Fprintln(b, "RestrictNamespaces=true\nRestrictRealtime=true\nLockPersonality=true")
	if !s.hasHooks() { // programs that compile at run time need it, and a hook may be one
		fmt.Fprintln(b, "MemoryDenyWriteExecute=true")
	}
	fmt.Fprintln(b, "SystemCallArchitectures=native\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM")
}

// writeRootSandbox is what the manager of a user cannot do.
func (s Started) writeRootSandbox(b *strings.Builder) {
	fmt.Fprintf(b, "CapabilityBoundingSet=%s\n", capabilities)
	fmt.Fprintln(b, "ProtectSystem=strict")
	if paths := s.written(); len(paths) > 0 {
		fmt.Fprintf(b, "ReadWritePaths=%s\n", words(paths, "-")) // "-": one that is missing is told by rsbtbackup
	}
	if !s.usesTmp() {
		fmt.Fprintln(b, "PrivateTmp=true")
	}
	fmt.Fprintln(b, "ProtectKernelTunables=true\nProtectControlGroups=true\nProtectHostname=true")
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
	return s.hasHooks() || slices.ContainsFunc(paths, func(path string) bool {
		return slices.ContainsFunc([]string{"/tmp", "/var/tmp"}, func(tmp string) bool { return within(path, tmp) || within(tmp, path) })
	})
}

// within reports whether path is dir or lies below it.
func within(path, dir string) bool {
	return path != "" && dir != "" && (path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/"))
}
