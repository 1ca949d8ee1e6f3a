#!/usr/bin/env bash
# Runs every fuzz target of the main module for a while.
#
#   fuzz.sh DURATION
#
# Making an interesting input smaller is given ten tries, not a minute: the time is for finding them.
set -euo pipefail
git grep -hoE --untracked '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' >/dev/null || { echo 'no fuzz targets'; exit 1; }
git grep -oE --untracked '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | while IFS=: read -r file target; do
	printf '==> %s %s\n' "$(dirname "$file")" "${target#func }"
	${GO:-go} test -run '^$' -fuzz "^${target#func }\$" -fuzztime "$1" -fuzzminimizetime 10x "./$(dirname "$file")" </dev/null
done
