#!/usr/bin/env bash
# Runs the integration tests again and again, in a new order each time, with the race detector,
# until the time is over or one fails: soak.sh SECONDS
# The seed that go test prints for a failing order brings that order back: -shuffle=SEED.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: soak.sh SECONDS}
rounds=0
while ((SECONDS < seconds)); do
	CGO_ENABLED=1 scripts/gotest.sh -race -tags integration -count=1 -shuffle=on \
		-exec "$PWD/scripts/asroot.sh" ./...
	rounds=$((rounds + 1))
	printf 'soak: round %d done after %d s\n' "$rounds" "$SECONDS"
done
