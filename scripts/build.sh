#!/usr/bin/env bash
# Builds the command as it is released, without cgo: build.sh FILE. GOARCH in the environment chooses another machine.
set -euo pipefail
file=$(realpath -m -- "${1:?usage: build.sh FILE}")
cd "$(dirname "$0")/.."

GOFLAGS=$(scripts/goflags.sh) CGO_ENABLED=0 exec go build -buildvcs=auto -ldflags='-s -w' -o "$file" ./cmd/rsbtbackup
