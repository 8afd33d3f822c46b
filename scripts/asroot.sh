#!/usr/bin/env bash
# Runs a command as root with the caller's Go settings: directly for root, else through sudo, which
# would reset them. Usable as go test -exec: the binaries are then built as the caller, so that
# root leaves no files in the caller's build cache.
set -euo pipefail

# Root's mount, losetup and mkfs are in directories that an ordinary user's PATH may lack.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

[[ $(id -u) != 0 ]] || exec "$@"

kept=("PATH=$PATH")
[[ -z ${TMPDIR:-} ]] || kept+=("TMPDIR=$TMPDIR")
for name in GOMODCACHE GOPROXY GOFLAGS GOTOOLCHAIN GOSUMDB GONOSUMDB GOPRIVATE; do
	kept+=("$name=$(go env "$name")")
done
while IFS= read -r name; do
	kept+=("$name=${!name}")
done < <(compgen -e | grep -E "^(RSBTBACKUP_|SOAK_ROUNDS$|FAULTS$|DIFFERENTIAL_)")

exec sudo -- env "${kept[@]}" "$@"
