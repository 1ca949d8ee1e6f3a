#!/usr/bin/env bash
# Runs every fuzz target of the main module for a while, several side by side.
#
#   fuzz.sh DURATION [SIDE_BY_SIDE]      default: one for each processor
#
# Each target has one worker, so DURATION is processor time too. Only our packages are built to tell the fuzzer where an
# input leads: what they import comes from the build cache as it is, and an input is tried ten times as often. Making
# an interesting input smaller is given ten tries, not a minute: the time is for finding them. What fails is printed
# whole, and its input stays in testdata.
set -euo pipefail
duration=$1 side=${2:-$(nproc)} go=${GO:-go}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

git grep -oE --untracked '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | sed 's/:func /:/' >"$work/found" || { echo 'no fuzz targets'; exit 1; }
sed 's,/[^/]*:.*,,' "$work/found" | sort -u >"$work/folders"
start=$SECONDS
module=$($go list -m)
while read -r folder; do
	CGO_ENABLED=0 $go test -c -vet=off -gcflags="$module/...=-d=libfuzzer" -ldflags='-s -w' -o "$work/${folder//\//_}.test" "./$folder" </dev/null
done <"$work/folders"
echo "built $(wc -l <"$work/found") fuzz targets of $(wc -l <"$work/folders") packages in $((SECONDS - start)) s"

one() { # FILE:TARGET
	local folder target log start=$SECONDS
	folder=$(dirname "${1%%:*}") target=${1##*:}
	log=$work/$target.${folder//\//_}.log
	if (cd "$folder" && "$work/${folder//\//_}.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$duration" \
		-test.fuzzminimizetime 10x -test.parallel 1 -test.fuzzcachedir "$cache/$folder") >"$log" 2>&1; then
		printf 'ok   %s %s  %d s, %s\n' "$folder" "$target" $((SECONDS - start)) "$(grep -oE 'execs: [0-9]+' "$log" | tail -1)"
	else
		printf 'FAIL %s %s\n%s\n' "$folder" "$target" "$(cat "$log")"
		return 1
	fi
}
export -f one
cache=$($go env GOCACHE)/fuzz
export work duration cache
xargs -P "$side" -I{} bash -c 'one {}' <"$work/found"
