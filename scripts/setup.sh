#!/usr/bin/env bash
# Installs what the build, the tests or the demo need, when it is missing, on Debian or Ubuntu.
#
#   setup.sh demo    rsync and what makes a btrfs image
#   setup.sh bench   that, mkfs.ext4, and as many of the programs to compare with as can be had
#   setup.sh test    that, and what the tests and the linters call
#
# Asks for the sudo password at most once, and not at all when nothing is missing.
set -euo pipefail

# Each line is a program or an absolute path, which may be a pattern, and the package that brings it.
readonly DEMO='
rsync               rsync
mkfs.btrfs          btrfs-progs
losetup             mount
mountpoint          util-linux
'
readonly TEST="$DEMO
mkfs.ext4           e2fsprogs
mkfs.xfs            xfsprogs
mksquashfs          squashfs-tools
bindfs              bindfs
/usr/sbin/sshd      openssh-server
ssh                 openssh-client
ip                  iproute2
sudo                sudo
dbus-daemon         dbus-daemon
busctl              systemd
/usr/lib/*/faketime/libfaketime.so.1 libfaketime
/usr/sbin/cron      cron
/usr/sbin/sendmail  dma
/usr/lib/python3/dist-packages/dbus/__init__.py python3-dbus
/usr/lib/python3/dist-packages/gi/__init__.py python3-gi
smbd                samba
/usr/lib/*/samba/vfs/shadow_copy2.so samba-vfs-modules
smbclient           smbclient
setfacl             acl
setfattr            attr
setcap              libcap2-bin
strace              strace
zstd                zstd
gpg                 gpg
age                 age
rclone              rclone
shellcheck          shellcheck
zsh                 zsh
fish                fish
/usr/share/bash-completion/bash_completion bash-completion
gcc                 gcc
/usr/include/stdio.h libc6-dev
unshare             util-linux
/lib/systemd/systemd systemd
systemctl           systemd
dbus-daemon         dbus
mandoc              mandoc
man                 man-db
rpm                 rpm
"
readonly BENCH="$DEMO
mkfs.ext4           e2fsprogs
"
readonly PEERS='
restic              restic
borg                borgbackup
rsnapshot           rsnapshot
btrbk               btrbk
'

# The system directories are missing from the PATH of ordinary users on Debian.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

main() {
	local missing
	case ${1:-} in
	demo) missing=$(missing_packages "$DEMO") ;;
	test) missing=$(missing_packages "$TEST") ;;
	bench) missing=$(missing_packages "$BENCH") ;;
	*)
		echo 'usage: setup.sh demo|bench|test' >&2
		exit 2
		;;
	esac
	require_go
	[[ -z $missing ]] || install_packages "$missing"
	if [[ $1 == bench ]]; then
		missing=$(missing_packages "$PEERS")
		[[ -z $missing ]] || (install_packages "$missing") || echo 'setup: what could not be installed is reported as missing' >&2
	fi
}

missing_packages() { # LIST
	local program package
	while read -r program package; do
		[[ -z $program ]] || is_there "$program" || printf '%s\n' "$package"
	done <<<"$1" | sort -u | paste -sd ' '
}

is_there() {
	if [[ $1 == /* ]]; then
		compgen -G "$1" >/dev/null
	else
		command -v "$1" >/dev/null
	fi
}

require_go() {
	command -v go >/dev/null || {
		echo 'setup: go is missing; install it from https://go.dev/dl and put its bin directory into PATH' >&2
		exit 1
	}
}

install_packages() { # PACKAGES
	local as_root=() packages
	read -ra packages <<<"$1"
	command -v apt-get >/dev/null || {
		printf 'setup: missing: %s; this is no Debian or Ubuntu, install them with your package manager\n' "$1" >&2
		exit 1
	}
	if [[ $(id -u) != 0 ]]; then
		command -v sudo >/dev/null || {
			printf 'setup: there is no sudo; run as root: apt-get install -y %s\n' "$1" >&2
			exit 1
		}
		as_root=(sudo)
	fi
	printf 'setup: installing %s\n' "$1" >&2
	"${as_root[@]}" apt-get -q update
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${packages[@]}"
}

main "$@"
