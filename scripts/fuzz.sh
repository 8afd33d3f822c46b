#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other: fuzz.sh TIME_PER_TARGET
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:?usage: fuzz.sh TIME_PER_TARGET}
targets=0
for package in $(go list ./...); do
	names=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for name in $names; do
		printf '== %s in %s, for %s\n' "$name" "$package" "$time"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$package"
		targets=$((targets + 1))
	done
done
[[ $targets != 0 ]] || {
	echo 'fuzz: there is no fuzz target' >&2
	exit 1
}
printf '%d fuzz targets held\n' "$targets"
