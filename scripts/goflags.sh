#!/usr/bin/env bash
# Prints the flags with which the command is compiled as it is released, for GOFLAGS. What is compiled with cgo off for
# the linters and for the tests has the same flags, so that each package, and those of Go itself, is compiled once. A
# command with -tags of its own repeats the tag: its list replaces this one.
set -euo pipefail

readonly MODULE=github.com/rsbtbackup/rsbtbackup
# What works on each file, block or command of a stream.
readonly HOT=(btrfs sendstream internal/{at,blocks,catalog,changed,diff,pending,receive,reflink,scan,twin,walk})

# A ping needs no HTTP/2, which is 0.4 MB. What waits for people and servers, or runs once, needs no inlining, which is
# 0.7 MB. Of the patterns that match a package the last one counts.
flags=(-trimpath -tags=nethttpomithttp2)
for pattern in vendor/... go/... regexp/... math/big encoding/{asn1,pem} net/... log/... mime/... crypto/... text/template/... 'github.com/...'; do
	flags+=(-gcflags="$pattern=-l")
done
for room in "${HOT[@]}"; do
	flags+=(-gcflags="$MODULE/$room=")
done
echo "${GOFLAGS:-} ${flags[*]}"
