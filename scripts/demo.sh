#!/usr/bin/env bash
# Shows ./rsbtbackup at work on a btrfs of its own, on a loop device: two backups of /etc and of Go's source, with an
# edit between them. Both are only read; what is edited is a small tree beside them. Everything is removed at the end,
# in every case.
#
#   demo.sh [TOOL]    TOOL is the binary to show, ./rsbtbackup by default
#
# Uses sudo when not run by root: mounting needs it, and so does reading all of /etc.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TOOL=${1:-$PWD/rsbtbackup} MKLOOPFS=$PWD/scripts/mkloopfs.sh ASROOT=$PWD/scripts/asroot.sh
STARTED=$SECONDS

as_root() {
	"$ASROOT" "$@"
}

# show prints a command as one would type it, then runs it as root.
show() {
	printf '\n# %s\n' "${*/#$TOOL/rsbtbackup}"
	as_root "$@"
}

say() {
	printf '\n== %s\n' "$1"
}

main() {
	[[ -x $TOOL ]] || {
		printf 'demo: %s is missing; run: make demo\n' "$TOOL" >&2
		exit 1
	}
	work=$(mktemp -d "${TMPDIR:-/tmp}/rsbtbackup-demo.XXXXXX")
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM

	say 'A btrfs of 2 GiB in an image file'
	disk=$(as_root env "MKLOOPFS_OWNER=$$" "$MKLOOPFS" up "$work/fs" 2G btrfs compress=zstd)
	sources=(etc go notes)
	source_of=([0]=/etc [1]="$(go env GOROOT)/src" [2]="$work/notes")
	mkdir "$work/notes"
	printf 'milk\nbread\n' >"$work/notes/shopping"
	printf 'this one stays as it is\n' >"$work/notes/unchanged"

	say 'The first backups'
	local i
	for i in "${!sources[@]}"; do
		as_root mkdir -m 0700 "$disk/${sources[i]}"
		show "$TOOL" init "$disk/${sources[i]}"
		show "$TOOL" backup "${source_of[i]}" "$disk/${sources[i]}"
	done

	say 'An edit, and the second backups: only what changed is copied'
	printf 'milk\nbread\ncoffee\n' >"$work/notes/shopping"
	for i in "${!sources[@]}"; do
		show "$TOOL" backup "${source_of[i]}" "$disk/${sources[i]}"
	done

	say 'What there is now'
	for i in "${!sources[@]}"; do
		show "$TOOL" list "$disk/${sources[i]}"
	done

	say 'The edited file in both backups: each is a plain, read-only directory'
	show_both_versions "$disk/notes"

	say 'What it all takes on the disk, and what it would take without sharing'
	as_root sync -f "$disk"
	show df -h "$disk"
	show du -sh "$disk/etc" "$disk/go" "$disk/notes"

	printf '\ndemo: done in %d s\n' $((SECONDS - STARTED))
}

# show_both_versions fails unless the older backup has the old content and the newer the new one.
show_both_versions() { # DEST
	local files new old
	mapfile -t files < <(as_root find "$1" -name shopping -not -path "$1/pending/*")
	[[ ${#files[@]} == 2 ]] || fail "${#files[@]} backups have the edited file, want 2"
	new=$(as_root realpath "$1/cur")
	old=${files[0]}
	[[ $old != "$new"/* ]] || old=${files[1]}
	new=$new/shopping

	printf '\n# diff -u %s %s\n' "${old#"$1"/}" "${new#"$1"/}"
	as_root diff -u --label "${old#"$1"/}" --label "${new#"$1"/}" "$old" "$new" || true
	[[ $(as_root cat "$old") == $'milk\nbread' ]] || fail 'the older backup does not have the old content'
	[[ $(as_root cat "$new") == $'milk\nbread\ncoffee' ]] || fail 'the newer backup does not have the edit'
}

fail() {
	printf 'demo: %s\n' "$1" >&2
	exit 1
}

clean_up() {
	local status=$?
	trap - EXIT
	as_root "$MKLOOPFS" down "$work/fs" || status=1
	rm -rf --one-file-system -- "$work"
	exit "$status"
}

main
