// Package integration proves what rsbtbackup promises, with the real command, the real library, rsync, ssh and file
// systems on loopback images:
//
//	make integration
//
// Each file is one theme and each test is named for what it proves. The tests need root, mkfs.btrfs, rsync, an OpenSSH
// server, acl and attr; scripts/setup.sh installs them. With the tag "integration" what is missing fails, and nothing
// is skipped. btrfs-progs and rsync serve as independent witnesses.
package integration
