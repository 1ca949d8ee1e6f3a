#!/usr/bin/env bash
# Runs a Go build and shows how far it is: one moving line on a terminal, now and then a line elsewhere,
# nothing at all when everything was built already.
#
#   progress.sh NAME DIR PACKAGE COMMAND...
#
# COMMAND builds PACKAGE of the module in DIR, and names the packages it compiles as `go build -v` does.
# What it prints besides is passed on. The exit status is COMMAND's.
set -uo pipefail
name=$1 dir=$2 package=$3
shift 3
start=$SECONDS
total=$(mktemp)
trap 'rm -f "$total"' EXIT

if [ -t 1 ]; then moving=yes; else moving=; fi
say() { # say EVERY COUNT TEXT: on a terminal always, elsewhere at every EVERYth count
	if [ "$moving" ]; then
		printf '\r\033[K%s: %s' "$name" "$3"
	elif [ $(($2 % $1)) -eq 0 ]; then
		printf '%s: %s\n' "$name" "$3"
	fi
}

follow() { # counts packages and downloads among the lines of a go command
	local compiled=0 fetched=0 all line
	all=$(wc -l <"$total")
	while IFS= read -r line; do
		case $line in
		'go: downloading '*)
			fetched=$((fetched + 1))
			say 100 $fetched "downloading modules: $fetched (${line#go: downloading })"
			;;
		'' | *[!a-zA-Z0-9._~/-]*)
			[ "$moving" ] && printf '\r\033[K'
			printf '%s\n' "$line"
			;;
		*)
			compiled=$((compiled + 1))
			say 200 $compiled "compiling, $compiled of up to $all packages ($line)"
			;;
		esac
	done
	if [ $((compiled + fetched)) -gt 0 ] && [ "$moving" ]; then printf '\r\033[K'; fi
	if [ $compiled -gt 0 ]; then
		printf '%s: built, %d packages compiled in %d s\n' "$name" $compiled $((SECONDS - start))
	fi
}

(cd "$dir" && GOWORK=off "${GO:-go}" list -deps "$package" 2>&1 >"$total") | follow || exit
"$@" 2>&1 | follow
