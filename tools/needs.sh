#!/usr/bin/env bash
# Checks what building and testing need besides Go modules and npm packages. As root on Debian it installs what is
# missing; otherwise it says what to install.
set -euo pipefail

version_at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

wrong=0
complain() {
	printf 'missing: %s\n' "$1" >&2
	wrong=1
}

go=$(${GO:-go} env GOVERSION 2>/dev/null | sed 's/^go//') || true
version_at_least 1.26 "${go:-0}" || complain "Go 1.26 or newer (found ${go:-none}): https://go.dev/doc/install"
node=$(node --version 2>/dev/null | sed 's/^v//') || true
version_at_least 20.19 "${node:-0}" || complain "Node 20.19 or newer with npm (found ${node:-none}): https://nodejs.org"

# What Debian calls each, and why it is needed.
packages=()
need() { # need PACKAGE WHY TEST...
	local package=$1 why=$2
	shift 2
	if ! "$@" >/dev/null 2>&1; then
		packages+=("$package")
		printf 'not found: %s, %s\n' "$package" "$why"
	fi
}
need git 'the Git server of tests and demo' sh -c 'test -x "$(git --exec-path)/git-http-backend"'
need gcc 'the race detector' command -v gcc
need libc6-dev 'the race detector' sh -c 'echo "#include <stdlib.h>" | gcc -E -'
need gnupg 'the tests of commits that are signed' command -v gpg
need docker-registry 'a second registry to test against' command -v docker-registry
need chromium 'the browser test; or set WAYBILL_CHROMIUM' sh -c 'test -x "${WAYBILL_CHROMIUM:-/usr/bin/chromium}"'
need postgresql 'the tests of the history in PostgreSQL' sh -c 'command -v pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl'
need prometheus 'the tests of checks that ask one; or set WAYBILL_PROMETHEUS' sh -c 'test -x "${WAYBILL_PROMETHEUS:-/usr/bin/prometheus}"'

if [ ${#packages[@]} -gt 0 ]; then
	if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
		echo "installing ${packages[*]}"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
	else
		complain "${packages[*]}: on Debian, apt-get install ${packages[*]}"
	fi
fi
if [ $wrong -ne 0 ]; then exit 1; fi
printf 'Go %s, Node %s, git, gcc, gpg, chromium, PostgreSQL, Prometheus and docker-registry are here\n' "$go" "$node"
