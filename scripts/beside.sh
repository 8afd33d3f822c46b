#!/usr/bin/env bash
# Runs one command line beside another, and shows what it said when both are done.
#
#   beside.sh QUIET LOUD
#
# The last line of LOUD is repeated at the end. The exit status is 0 if both succeeded.
set -euo pipefail

log=$(mktemp -d)
quiet=
trap '[[ -z $quiet ]] || kill "$quiet" 2>/dev/null || true; rm -rf "$log"' EXIT

bash -c "$1" >"$log/quiet" 2>&1 </dev/null &
quiet=$!
failed=0
bash -c "$2" | tee "$log/loud" || failed=$?
wait "$quiet" || failed=$?
quiet=
cat "$log/quiet"
tail -n 1 "$log/loud"
exit "$failed"
