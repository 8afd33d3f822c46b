#!/usr/bin/env bash
# Makes and removes a file system on an image file, for tests and for the demo.
#
#   mkloopfs.sh up DIR SIZE [FSTYPE] [MOUNT_OPTS]   make it, print its mount point
#   mkloopfs.sh down DIR                            take it down; doing so twice is fine
#   mkloopfs.sh unmount MOUNT_POINT                 unmount one, and wait while it is busy
#   mkloopfs.sh apart MOUNT_POINT COMMAND...        run it where that one is mounted and no other one is
#   mkloopfs.sh sweep                               take down all whose owner has died
#
# DIR gets three entries: "image" (sparse; none for tmpfs), "mnt" (the mount point) and "owner".
# SIZE is what truncate(1) takes (256M, 1G). FSTYPE is btrfs (default), ext4, xfs, vfat or tmpfs.
# MOUNT_OPTS is one comma-separated word. DIR may itself lie on a file system made here.
#
# The owner is the process that called this script, or the one named in MKLOOPFS_OWNER. Nothing
# can unmount on behalf of a test that was killed, so each image carries its owner's pid and
# start time, and the next test process sweeps. The loop devices clear themselves on unmount.
#
# Needs root. Exit status: 0 done, 1 failed (one line on stderr says why), 2 wrong usage.
set -euo pipefail

die() {
	printf 'mkloopfs: %s\n' "$1" >&2
	exit "${2:-1}"
}

usage() {
	die 'usage: mkloopfs.sh up DIR SIZE [FSTYPE] [MOUNT_OPTS] | down DIR | unmount MOUNT_POINT |
	apart MOUNT_POINT COMMAND... | sweep' 2
}

need() { # PROGRAM DEBIAN_PACKAGE
	command -v "$1" >/dev/null || die "$1 is missing; install it: apt-get install -y $2"
}

# start_time PID prints when a process began, in clock ticks since boot; nothing for one that is
# gone or a zombie. Together with the pid it names a process for good: pids are used again.
start_time() {
	local stat='' fields
	{ read -rd '' stat <"/proc/$1/stat"; } 2>/dev/null || [[ -n $stat ]] || return 0 # it has no zero byte
	# The second field, the program's name, may hold blanks and brackets: cut after the last one.
	read -ra fields <<<"${stat##*) }"
	[[ ${fields[0]} == [ZX] ]] || printf '%s\n' "${fields[19]}"
}

owner_alive() { # DIR
	local pid started
	read -r pid started <"$1/owner" || return 1
	[[ -n $started && $(start_time "$pid") == "$started" ]]
}

# write_owner renames into place: a sweep that reads half an owner would take it for a dead one.
write_owner() { # DIR PID
	printf '%s %s\n' "$2" "$(start_time "$2")" >"$1/owner.new"
	mv -- "$1/owner.new" "$1/owner"
}

# is_ours DIR: made by this script, and not by another user who hopes that root cleans up for him.
is_ours() {
	[[ -f $1/owner && ! -L $1/owner && -O $1/owner ]]
}

# mount_points fills the array POINTS with all mount points, in the order they were mounted.
mount_points() {
	local point
	POINTS=()
	while read -r _ _ _ _ point _; do
		# The kernel writes blank, tab, newline and backslash as \040, \011, \012 and \134.
		printf -v point '%b' "$point"
		POINTS+=("$point")
	done </proc/self/mountinfo
}

# first_line puts that of a file into LINE, or nothing. It starts no process: there may be fifty loop devices.
first_line() { # FILE
	{ IFS= read -r LINE <"$1"; } 2>/dev/null || LINE=''
}

# backing_files fills the array FILES and, in step, LOOPS with what each loop device is bound to.
backing_files() {
	local attribute
	FILES=() LOOPS=()
	for attribute in /sys/block/loop*/loop/backing_file; do
		[[ -r $attribute ]] || continue
		first_line "$attribute"
		FILES+=("$LINE")
		attribute=${attribute#/sys/block/}
		LOOPS+=("/dev/${attribute%%/*}")
	done
}

holders() { # MOUNT_POINT: the processes that keep it busy, for the error message
	local pid
	{ find /proc/[0-9]*/{cwd,root,exe,fd} -maxdepth 1 \( -lname "$1" -o -lname "$1/*" \) 2>/dev/null || true; } |
		cut -d / -f 3 | sort -u | head -n 5 |
		while read -r pid; do
			printf '%s (%s)\n' "$pid" "$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true)"
		done | paste -sd ';'
}

# unmount POINT waits for a busy one: five seconds while a process holds it, since killed processes
# take a moment to let go, and so does a child of the tests that has not come to its exec yet and
# still has all their files; a minute while none does, since then it is the image of a file system
# that another mount namespace has a copy of, see "apart". Then it detaches the mount all the same,
# so that nothing is leaked, and fails.
unmount() {
	local attempt message='' by=''
	for attempt in {1..600}; do
		message=$(umount -- "$1" 2>&1) && return 0
		mountpoint -q -- "$1" || return 0
		((attempt % 50)) || by=$(holders "$1")
		[[ -z $by ]] || break
		sleep 0.1
	done
	message+=" held by: ${by:-another mount namespace}"
	umount --lazy -- "$1" 2>/dev/null || true
	printf 'mkloopfs: %s was busy and had to be detached: %s\n' "$1" "$message" >&2
	return 1
}

# unmount_for_good POINT waits until the kernel has let go of the image too. Another mount namespace that was made meanwhile,
# as by unshare(1) in another test, has a copy of every mount: the file system, and its caches, live as long as that.
unmount_for_good() {
	local device file='' image attempt
	device=$(findmnt -no SOURCE --mountpoint "$1") || device=''
	[[ $device != /dev/loop* ]] || file=/sys/block/${device#/dev/}/loop/backing_file
	first_line "$file"
	image=$LINE
	unmount "$1" || return 1
	[[ -n $image ]] || return 0
	for attempt in {1..1200}; do
		first_line "$file"
		[[ $LINE == "$image" ]] || return 0
		! findmnt -n --source "$device" >/dev/null || return 0 # mounted elsewhere, where we see it
		sleep 0.05
	done
	printf 'mkloopfs: %s is unmounted, but another mount namespace still holds %s\n' "$1" "$image" >&2
	return 1
}

# apart runs a command where no copies of others' file systems are: a test that unmounts its image
# relies on its being gone. What is kept may lie in another one, which is kept too.
apart() { # KEPT COMMAND...
	# shellcheck disable=SC2016 # expanded there
	exec unshare --mount --propagation private bash -euc \
		"$(declare -f mount_points drop_others)"'; drop_others "$1"; shift; exec "$@"' bash "$@"
}

drop_others() { # KEPT
	local i
	mount_points
	for ((i = ${#POINTS[@]} - 1; i >= 0; i--)); do
		[[ ${POINTS[i]} == */rsbtbackup-loopfs.*/* && $1/ != "${POINTS[i]}"/* ]] || continue
		umount --lazy -- "${POINTS[i]}" 2>/dev/null || true # gone meanwhile
	done
}

unmount_below() { # DIR
	local i status=0
	mount_points
	for ((i = ${#POINTS[@]} - 1; i >= 0; i--)); do
		[[ ${POINTS[i]} == "$1"/* ]] || continue
		unmount "${POINTS[i]}" || status=1
	done
	return "$status"
}

detach_below() { # DIR
	local i
	backing_files
	for i in "${!FILES[@]}"; do
		[[ ${FILES[i]} != "$1"/* ]] || losetup --detach "${LOOPS[i]}" 2>/dev/null || true
	done
}

take_down() { # DIR
	local status=0
	is_ours "$1" || return 0
	unmount_below "$1" || status=1
	# The table of mounts lacks a line at times, if it changes while it is read.
	! mountpoint -q -- "$1/mnt" || unmount_below "$1" || status=1
	detach_below "$1"
	rm -f -- "$1/image"
	[[ ! -d $1/mnt ]] || rmdir -- "$1/mnt" || status=1
	# The owner file goes last: whatever interrupts this, the next sweep finds the rest.
	[[ $status != 0 ]] || rm -f -- "$1/owner"
	rmdir -- "$1" 2>/dev/null || true
	return "$status"
}

format() { # FSTYPE IMAGE
	local flags=()
	need "mkfs.$1" "$(package_of "$1")"
	case $1 in
	btrfs)
		flags=(-q -f -K)
		# Below 109 MiB separate data and metadata block groups do not fit.
		(($(stat -c %s -- "$2") >= 109 * 1024 * 1024)) || flags+=(--mixed)
		;;
	ext4) flags=(-q -F) ;;
	xfs) flags=(-q -f -K) ;;
	esac
	# mkfs.btrfs asks each mounted loop device for its image, and fails when another process detaches one meanwhile.
	local tries said
	for ((tries = 10; ; tries--)); do
		said=$(mkfs."$1" "${flags[@]}" -- "$2" 2>&1 >/dev/null) && return
		if [[ $said != *'cannot check mount status'* ]] || ((tries == 1)); then
			printf '%s\n' "$said" >&2
			return 1
		fi
	done
}

package_of() { # FSTYPE
	case $1 in
	btrfs) echo btrfs-progs ;;
	ext4) echo e2fsprogs ;;
	xfs) echo xfsprogs ;;
	vfat) echo dosfstools ;;
	esac
}

up() { # DIR SIZE FSTYPE MOUNT_OPTS
	local dir size=$2 fstype=$3 options=$4 owner=${MKLOOPFS_OWNER:-$PPID}
	[[ $fstype =~ ^(btrfs|ext4|xfs|vfat|tmpfs)$ ]] || die "cannot make a file system of type '$fstype'"
	mkdir -p -- "$1"
	dir=$(realpath -- "$1")
	if is_ours "$dir"; then
		! owner_alive "$dir" || [[ $(cat "$dir/owner") == "$owner "* ]] ||
			die "$dir is in use by process $(cat "$dir/owner")"
		take_down "$dir"
		mkdir -p -- "$dir"
	fi
	[[ -z $(ls -A -- "$dir") ]] || die "$dir is not empty and was not made by this script"

	write_owner "$dir" "$owner"
	UNFINISHED=$dir
	trap 'take_down "$UNFINISHED"' EXIT
	mkdir -- "$dir/mnt"
	if [[ $fstype == tmpfs ]]; then
		mount -t tmpfs -o "size=$size${options:+,$options}" rsbtbackup-test "$dir/mnt"
	else
		(umask 077 && truncate -s "$size" -- "$dir/image")
		format "$fstype" "$dir/image"
		mount -t "$fstype" -o "loop${options:+,$options}" -- "$dir/image" "$dir/mnt"
	fi
	trap - EXIT
	printf '%s\n' "$dir/mnt"
}

down() { # DIR
	local dir
	dir=$(realpath -- "$1" 2>/dev/null) || return 0
	take_down "$dir"
}

# sweep looks where stale file systems show: at mounts, at loop devices, and at the directories
# that package loopfs makes. A second sweep at the same time leaves the work to the first.
sweep() {
	local place status=0
	exec 9</dev/loop-control # one for the machine, whatever checkouts there are
	flock --nonblock 9 || return 0
	mount_points
	backing_files
	for place in "${POINTS[@]}" "${FILES[@]}" {"${TMPDIR:-/tmp}",/dev/shm}/rsbtbackup-loopfs.*/owner; do
		place=${place%/*}
		is_ours "$place" || continue
		owner_alive "$place" || take_down "$(realpath -- "$place")" || status=1
	done
	return "$status"
}

require_root() {
	((EUID == 0)) || die 'mounting needs root; run it by: sudo scripts/mkloopfs.sh ..., or run: make test'
	need losetup mount
	need mountpoint util-linux
	[[ -e /dev/loop-control ]] || modprobe loop 2>/dev/null ||
		die 'this machine has no loop devices; load them: modprobe loop'
}

main() {
	local verb=${1:-}
	[[ $# == 0 ]] || shift
	case $verb/$# in
	up/2 | up/3 | up/4)
		require_root
		up "$1" "$2" "${3:-btrfs}" "${4:-}"
		;;
	down/1)
		require_root
		down "$1"
		;;
	unmount/1)
		require_root
		unmount_for_good "$1"
		;;
	apart/[2-9] | apart/[1-9][0-9]*)
		require_root
		apart "$@"
		;;
	sweep/0)
		require_root
		sweep
		;;
	*) usage ;;
	esac
}

main "$@"
