#!/usr/bin/env bash
# Checks the sources without running them.
#
#   lint.sh code      format, vet, staticcheck and go fix, for this machine
#   lint.sh scripts   shellcheck
#   lint.sh arch      types and shifts for every other architecture that packages are made for
#
# The tag "integration" only adds files, but they may hide what is unused without them, and the other way about:
# for this machine staticcheck sees both sets.
#
# Everything runs without cgo and with the flags of what is shipped, so that the integration tests need not compile it
# again.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2
readonly BIN=$PWD/.work/bin
readonly ARCHITECTURES=(amd64 arm64 386 arm riscv64 ppc64le s390x mips64le)
# The collector takes a third of the time of staticcheck otherwise, which needs some 640 MB so.
export CGO_ENABLED=0 GOGC=400
GOFLAGS=$(scripts/goflags.sh)
export GOFLAGS
readonly TAGS=integration,nethttpomithttp2

code() {
	install_staticcheck
	step gofmt no_output gofmt -l .
	step 'go build' go build ./...
	step 'go vet' go vet -tags "$TAGS" ./...
	step staticcheck "$BIN/staticcheck" ./...
	step 'staticcheck, integration' "$BIN/staticcheck" -tags "$TAGS" ./...
	step 'go fix' go fix -diff -tags "$TAGS" ./...
	step 'go mod tidy' go mod tidy -diff
}

scripts() {
	step shellcheck shellcheck scripts/*.sh scripts/package/*.sh .ci/run
	step 'shellcheck, completion' completion_script
}

# arch leaves out this machine's, of which go vet has seen both types and shifts.
arch() {
	local others
	mapfile -t others < <(printf '%s\n' "${ARCHITECTURES[@]}" | grep -vx "$(go env GOARCH)")
	step types go run ./scripts/typecheck "${others[@]}"
}

install_staticcheck() {
	GOBIN=$BIN go install -ldflags=-w "$STATICCHECK"
}

step() { # NAME COMMAND...
	local name=$1 start=$SECONDS
	shift
	"$@" || {
		printf 'lint: %s found something\n' "$name" >&2
		exit 1
	}
	printf 'lint: %-26s %4d s\n' "$name" $((SECONDS - start))
}

completion_script() {
	go run ./cmd/rsbtbackup completion bash | shellcheck --shell=bash -
}

no_output() { # COMMAND...
	local out
	out=$("$@")
	[[ -z $out ]] || {
		printf '%s\n' "$out"
		return 1
	}
}

case ${1:-} in
code | scripts | arch)
	"$1"
	;;
*)
	echo 'usage: lint.sh code|scripts|arch' >&2
	exit 2
	;;
esac
