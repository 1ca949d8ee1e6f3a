#!/usr/bin/env bash
# Makes one target after the other, and says what ran and how long each took. Stops at the first that fails.
#
#   steps.sh TARGET...
set -uo pipefail
table='' begin=$SECONDS
for target in "$@"; do
	printf '\n==> make %s\n' "$target"
	start=$SECONDS
	${MAKE:-make} "$target"
	status=$?
	table+=$(printf '%-14s %5d s' "$target" $((SECONDS - start)))
	if [ $status -ne 0 ]; then
		printf '\n%s   FAILED\n\nRun that part again with: make %s\n' "$table" "$target" >&2
		exit 1
	fi
	table+=$'\n'
done
printf '\n%s%-14s %5d s\n' "$table" total $((SECONDS - begin))
