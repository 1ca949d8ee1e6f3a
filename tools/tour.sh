#!/usr/bin/env bash
# Walks through the demo that make up started: a version travels to prod, a broken one is taken back.
#
#   tour.sh WAYBILL      WAYBILL is the path of the command line client
set -euo pipefail
waybill=$1
show() {
	printf '\n$ waybill %s\n' "$*"
	"$waybill" "$@"
}
until_true() { # until_true WHAT COMMAND...: waits at most two minutes
	local what=$1 deadline=$((SECONDS + 120))
	shift
	printf '  ... until %s\n' "$what"
	until "$@"; do
		if [ $SECONDS -ge $deadline ]; then
			printf 'that did not happen within two minutes: waybill status guestbook\n' >&2
			exit 1
		fi
		sleep 0.5
	done
}
is_open() { # is_open VERSION: whether every gate of prod is open for it
	local gates
	gates=$("$waybill" why "$1" guestbook/prod -o json 2>/dev/null) && ! grep -q '"open": false' <<<"$gates"
}
is_taken_back() { "$waybill" history guestbook/test | grep -q "promote.*$1.*RolledBack"; }

stamp=$(date +%s)
good=1.27.$stamp bad=1.27.$((stamp + 1))

printf 'A new version, and nobody does anything:\n'
show local push "$good"
until_true "test and uat have verified it" is_open "$good"
show status guestbook

printf '\nProduction is for a person:\n'
show promote "$good" guestbook/prod --wait

printf '\nA version that crashes:\n'
show local push "$bad" --broken
until_true "it is taken back" is_taken_back "$bad"
show history guestbook/test
printf '\nWhy it goes no further:\n'
show why "$bad" guestbook/prod || true
show status guestbook
