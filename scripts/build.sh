#!/usr/bin/env bash
# Builds the command as it is released, without cgo: build.sh FILE. GOARCH in the environment chooses another machine.
set -euo pipefail
file=$(realpath -m -- "${1:?usage: build.sh FILE}")
cd "$(dirname "$0")/.."

readonly MODULE=github.com/rsbtbackup/rsbtbackup
# What works on each file, block or command of a stream.
readonly HOT=(btrfs sendstream internal/{at,blocks,catalog,changed,diff,pending,receive,reflink,scan,twin,walk})

# A ping needs no HTTP/2, which is 0.4 MB. What waits for people and servers, or runs once, needs no inlining, which is
# 0.7 MB. Of the patterns that match a package the last one counts.
flags=(-tags nethttpomithttp2)
for pattern in net/http crypto/... text/template/... 'github.com/...'; do
	flags+=(-gcflags="$pattern=-l")
done
for room in "${HOT[@]}"; do
	flags+=(-gcflags="$MODULE/$room=")
done
CGO_ENABLED=0 exec go build "${flags[@]}" -buildvcs=auto -trimpath -ldflags='-s -w' -o "$file" ./cmd/rsbtbackup
