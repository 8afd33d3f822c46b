#!/usr/bin/env bash
# Runs go test with the given arguments. Prints one line per package, the skipped tests, everything
# a failing package said, and a closing line: N passed, N failed, N skipped.
# Its exit status is that of go test.
set -euo pipefail

go test -v "$@" 2>&1 | awk '
	function flush_failure(  i) {
		for (i = 1; i <= n; i++)
			if (said[i] !~ /^(=== (RUN|PAUSE|CONT|NAME)|PASS$)/ && said[i] !~ /^ *--- PASS/) print said[i]
	}
	/^ *--- PASS: /      { passed++ }
	/^ *--- FAIL: /      { failed++ }
	/^ *--- SKIP: /      { skipped++; print }
	/^ok  \t|^\?   \t|^\t.*coverage: /  { print; n = 0; fflush(); next }
	/^FAIL\t/            { flush_failure(); print; n = 0; broken++; fflush(); next }
	                     { said[++n] = $0 }
	END {
		# What belongs to no package is the word FAIL, or an error of the go command itself.
		flush_failure()
		if (broken > 0 && failed == 0) failed = broken
		printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	}'
