#!/bin/sh
# A tour of the demo: a new version travels to prod, a broken one is taken back.
# It needs a running demo (make up) and says every command before it runs it.
#
#   examples/tour.sh [path of waybill]
set -eu
waybill=${1:-waybill}
patience=120 # seconds for anything that happens by itself

title() { printf '\n== %s\n' "$*"; }

run() {
	printf '\n$ waybill %s\n' "$*"
	"$waybill" "$@"
}

# eventually COMMAND...: runs it once a second, silently, until it succeeds.
eventually() {
	left=$patience
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		if [ "$left" -eq 0 ]; then
			echo "not within $patience seconds: $*" >&2
			exit 1
		fi
		sleep 1
	done
}

runs_in_uat() { "$waybill" status guestbook | grep -Eq "^uat +$1 .*Healthy"; }
taken_back() { "$waybill" history guestbook/test | grep -Eq "promote +$1 +RolledBack"; }

# The next two patch versions after the newest Freight.
newest=$("$waybill" get freight -p guestbook | awk 'NR > 1 { print $3 }' | sort -V | tail -n 1)
good=${newest%.*}.$((${newest##*.} + 1))
bad=${newest%.*}.$((${newest##*.} + 2))

title "What runs where"
run status guestbook

title "A new version is published. It reaches test and uat by itself"
run local push "$good"
eventually runs_in_uat "$good"
run status guestbook

title "A person takes it to prod"
run promote "$good" guestbook/prod --wait --reason "the tour"

title "A version is published whose containers crash"
run local push "$bad" --broken
eventually taken_back "$bad"
run history guestbook/test --limit 2

title "It was taken back in Git, and does not come again"
run status guestbook
run why "$bad" guestbook/test
