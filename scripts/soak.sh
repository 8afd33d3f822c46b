#!/usr/bin/env bash
# Soaks: soak.sh SECONDS. First 5,000 rounds of the differential test (SOAK_ROUNDS changes that), then
# every fault at every point, then the integration tests again and again, in a new order each time,
# with the race detector, until the time is over. Stops at the first failure.
# The seed that go test prints for a failing order brings that order back: -shuffle=SEED; a
# differential failure prints its own.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: soak.sh SECONDS}
asroot=(-exec "$PWD/scripts/asroot.sh")
export SOAK_ROUNDS=${SOAK_ROUNDS:-5000}
scripts/gotest.sh -tags integration -count=1 -timeout 0 "${asroot[@]}" -run 'TestDifferential$|BigFile' ./integration/differential
printf 'soak: %s differential rounds done after %d s\n' "$SOAK_ROUNDS" "$SECONDS"
DIFFERENTIAL_COPIES=${DIFFERENTIAL_COPIES:-201} scripts/gotest.sh -tags integration -count=1 -timeout 0 "${asroot[@]}" -run 'TestCopiesOfRandomWorlds' ./integration/differential
printf 'soak: copies done after %d s\n' "$SECONDS"
scripts/gotest.sh -tags integration -count=1 -timeout 0 "${asroot[@]}" -run 'TestDiffRandom$' ./integration/diff -diff.seed=0 -diff.rounds=2000
printf 'soak: differences done after %d s\n' "$SECONDS"
FAULTS=dense scripts/gotest.sh -tags integration -count=1 -timeout 0 "${asroot[@]}" ./integration/faults
printf 'soak: every fault done after %d s\n' "$SECONDS"

unset SOAK_ROUNDS
rounds=0
while ((SECONDS < seconds)); do
	CGO_ENABLED=1 scripts/gotest.sh -race -tags integration -count=1 -timeout 0 -shuffle=on "${asroot[@]}" ./...
	rounds=$((rounds + 1))
	printf 'soak: round %d done after %d s\n' "$rounds" "$SECONDS"
done
