#!/usr/bin/env bash
# Makes the release files, below dist/ or $OUT.
#
#   package.sh package           a deb and an rpm for this machine
#   package.sh release [ARCH...] for each architecture (amd64, arm64) a tarball, a deb, an rpm and an SBOM; SHA256SUMS
#
# The same commit makes the same bytes, wherever it lies and whenever that is: times are those of the commit, the
# binary has no path of this machine in it. The version is the one that the Go command wrote into the binary: the tag,
# or one made of the commit; $VERSION takes its place in the names and the packages.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

readonly NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
readonly SBOM=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
readonly BIN=$PWD/.work/bin
readonly OUT=${OUT:-$PWD/dist}
WORK=$(mktemp -d)
readonly WORK
trap 'rm -rf "$WORK"' EXIT

export CGO_ENABLED=0 LC_ALL=C GOFLAGS=-buildvcs=auto
# A checkout that belongs to another user, as in a container; see Makefile.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$PWD
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

main() {
	case ${1:-} in
	package)
		tool nfpm "$NFPM"
		architecture "$(go env GOARCH)"
		;;
	release)
		shift
		(($#)) || set -- amd64 arm64
		tool nfpm "$NFPM"
		tool cyclonedx-gomod "$SBOM"
		mkdir -p "$OUT"
		rm -f "$OUT"/rsbtbackup[-_]* "$OUT/SHA256SUMS"
		for arch; do
			architecture "$arch"
			tarball "$arch"
			sbom "$arch"
		done
		(cd "$OUT" && sha256sum -- rsbtbackup[-_]* >SHA256SUMS)
		;;
	*)
		echo 'usage: package.sh package|release [ARCH...]' >&2
		exit 2
		;;
	esac
}

# tool builds a program for this machine, unless that version is there. One pinned here is no dependency of the module.
# With the flags of the command, what both import is compiled once.
tool() { # NAME MODULE@VERSION
	if [[ ! -x $BIN/$1 || $(go version -m "$BIN/$1" | awk '$1 == "mod" { print $3 }') != "${2##*@}" ]]; then
		GOBIN=$BIN GOARCH='' GOFLAGS=$(scripts/goflags.sh) go install -ldflags=-w "$2"
	fi
}

architecture() { # ARCH
	local tree=$WORK/$1
	mkdir -p "$tree/usr/bin" "$OUT"
	GOARCH=$1 scripts/build.sh "$tree/usr/bin/rsbtbackup"
	beside "$tree"
	chmod -R u=rwX,go=rX "$tree"
	find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
	for packager in deb rpm; do
		TREE=$tree ARCH=$1 VERSION=$(version "$tree") "$BIN/nfpm" package --config scripts/package/nfpm.yaml --packager "$packager" --target "$OUT"
	done
}

# beside puts everything but the command into the tree.
beside() { # TREE
	local doc=$1/usr/share/doc/rsbtbackup
	"$(runs_here)" __packaged "$1"
	gzip -9n "$1"/usr/share/man/man*/*
	mkdir -p "$doc/docs" "$doc/retention"
	cp LICENSE "$doc/copyright"
	cp README.md CHANGELOG.md "$doc" # and what they link to, where they look for it
	cp docs/*.md docs/rsbtbackup.schema.json "$doc/docs"
	cp retention/RESTIC.md "$doc/retention"
	gzip -9n "$doc/CHANGELOG.md"
}

# runs_here is the command for this machine.
runs_here() {
	local own
	own=$WORK/$(go env GOHOSTARCH)/usr/bin/rsbtbackup
	if [[ ! -e $own ]]; then
		own=$WORK/rsbtbackup
		[[ -e $own ]] || GOARCH=$(go env GOHOSTARCH) scripts/build.sh "$own"
	fi
	printf '%s\n' "$own"
}

version() { # TREE
	local version=${VERSION:-$(go version -m "$1/usr/bin/rsbtbackup" | awk '$1 == "mod" { print $3 }')}
	[[ $version == v* ]] || version=v0.0.0 # not built in a checkout
	printf '%s\n' "${version#v}"
}

tarball() { # ARCH
	local name
	name=rsbtbackup-$(version "$WORK/$1")
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu \
		--transform="s,^usr,$name/usr," -C "$WORK/$1" -cf - usr | gzip -9n >"$OUT/$name-linux-$1.tar.gz"
}

sbom() { # ARCH
	local version
	version=$(version "$WORK/$1")
	"$BIN/cyclonedx-gomod" bin -json -noserial -notimestamp -std -version "v$version" \
		-output "$OUT/rsbtbackup-$version-linux-$1.cdx.json" "$WORK/$1/usr/bin/rsbtbackup" 2>"$WORK/sbom.log" || {
		cat "$WORK/sbom.log" >&2
		exit 1
	}
}

main "$@"
