# Everything here works on a fresh Debian or Ubuntu that has Go, git and make; "make test" and
# "make demo" install what else they need. They mount images, and ask for sudo when not run by root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

FUZZTIME ?= 1m
SOAKTIME ?= 1800
BENCH    ?= .
ARCHES   ?=
QUICK    ?=
ONLY     ?=

# In a checkout that belongs to another user, as in a container, git refuses to tell the revision
# and go build fails. Trust this one directory, for these commands only.
export GIT_CONFIG_COUNT   := 1
export GIT_CONFIG_KEY_0   := safe.directory
export GIT_CONFIG_VALUE_0 := $(CURDIR)

# The tests behind the tag: their files, their names (the others of these packages run in "make unit"), and their
# packages but for package integration itself, and the benchmarks. Those that take longest come first, so that none of
# them is left alone at the end.
TAGGED       = $(shell grep -rl --include=*_test.go '^//go:build integration' .)
TAGGED_NAMES = $(shell grep -hoE '^func (Test|Example|Fuzz)[A-Za-z0-9_]+' $(TAGGED) | cut -c6- | sort -u | paste -sd '|')
LONGEST     := ./integration/faults ./integration/differential
INTEGRATION  = $(LONGEST) $(filter-out $(LONGEST),$(shell dirname $(TAGGED) | sort -u | grep -vxE './(integration|bench)'))

ASROOT := "$(CURDIR)/scripts/asroot.sh"

# No debugger looks at the binaries of tests, of which there are some ninety: without what is for one, each is linked in
# four fifths of the time.
LINKED := -ldflags=-w
# The tag of the command as it is shipped: without it net/http would be compiled again.
SHIPPED := nethttpomithttp2

.PHONY: help build test setup lint lint-code lint-scripts lint-arch unit integration ondisk ondisk-race demo fuzz soak bench gobench package release clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

build: ## build ./rsbtbackup, a static binary
	@scripts/build.sh rsbtbackup

test: ## everything that must hold: linters, unit, race and integration tests
	@scripts/beside.sh '$(MAKE) --no-print-directory lint-code' '$(MAKE) --no-print-directory setup'
	@$(MAKE) --no-print-directory lint-scripts
	@$(MAKE) --no-print-directory unit
	@scripts/beside.sh '$(MAKE) --no-print-directory lint-arch' '$(MAKE) --no-print-directory integration'

setup: ## install what the tests need and this machine lacks
	@scripts/setup.sh test

lint: lint-code lint-scripts lint-arch ## gofmt, go vet, staticcheck, go fix, go mod tidy, shellcheck, types for all

# It needs nothing but Go, so it runs while the rest is installed.
lint-code: ## gofmt, go vet, staticcheck, go fix, go mod tidy
	@scripts/lint.sh code

lint-scripts: ## shellcheck
	@scripts/lint.sh scripts

lint-arch: ## types and shifts for each other architecture
	@scripts/lint.sh arch

# The longest two come first, so that none of them is left alone at the end. What a program with the race detector says
# does not depend on the second that it waits for by default when it exits, as main does not return before its work is
# done; that would be a second for each package.
unit: ## the tests that need neither root nor a file system of their own, under the race detector
	@CGO_ENABLED=1 GORACE=atexit_sleep_ms=10 scripts/gotest.sh -vet=off -race -tags $(SHIPPED) $(LINKED) -timeout 60m -p 4 ./rsyncexec ./cmd/rsbtbackup ./...

# These tests mostly wait, for commits and for other programs, so more of them run at once than there are processors.
# The limit on time is many times what the slowest package takes: it ends what hangs, not what has to wait for a busy
# machine. The race detector sees our own process only. Most of these tests run the command, so it is on for package
# integration, which uses the library in-process and from several goroutines.
ONDISK = scripts/gotest.sh -vet=off $(LINKED) -tags integration,$(SHIPPED) -count=1 -timeout 60m -p 3 -parallel 6 -run '^($(TAGGED_NAMES))$$' -exec '$(ASROOT)'

integration: ## the tests on loopback file systems, as root
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && chmod 755 "$$dir" && \
	scripts/build.sh "$$dir/rsbtbackup" && export RSBTBACKUP_TESTBIN="$$dir/rsbtbackup" && \
	scripts/beside.sh '$(MAKE) --no-print-directory ondisk-race' '$(MAKE) --no-print-directory ondisk'

ondisk-race:
	@CGO_ENABLED=1 $(ONDISK) -race ./integration

ondisk:
	@CGO_ENABLED=0 GOFLAGS="$$(scripts/goflags.sh)" $(ONDISK) $(INTEGRATION)

demo: ## build it and make two backups on a loopback btrfs, where everything can be watched
	@scripts/setup.sh demo
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh

fuzz: ## run each fuzz target for FUZZTIME (1m)
	@scripts/fuzz.sh '$(FUZZTIME)'

soak: setup ## 5,000 differential rounds, every fault, then all tests again for SOAKTIME seconds (1800)
	@scripts/soak.sh '$(SOAKTIME)'

bench: build ## measure it beside other backup programs; QUICK=1: in some three minutes, ONLY=cold,list: some of it
	@scripts/setup.sh bench
	@mkdir -p .work/bench
	@CGO_ENABLED=0 go build -o .work/compare ./bench/compare
	@$(ASROOT) .work/compare $(if $(QUICK),-quick) -only '$(ONLY)' -out .work/bench

gobench: setup ## run the Go benchmarks that match BENCH (.)
	@go test -run '^$$' -bench '$(BENCH)' -benchmem -tags integration -exec '$(ASROOT)' ./...

package: ## make a deb and an rpm for this machine in dist/
	@scripts/package.sh package

release: ## make tarballs, packages, SBOMs and SHA256SUMS for ARCHES (amd64 arm64) in dist/, the same for the same commit
	@scripts/package.sh release $(ARCHES)

clean: ## remove what was built, and stale loopback file systems
	@rm -rf rsbtbackup dist .work
	@[[ $$(id -u) != 0 ]] || scripts/mkloopfs.sh sweep
