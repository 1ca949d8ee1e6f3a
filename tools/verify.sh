#!/usr/bin/env bash
# Generates everything anew and fails when a file changes: what is generated is committed with its cause, and nobody
# edits it by hand.
set -euo pipefail
generated() { printf '%s\n' api/v1alpha1/zz_generated.deepcopy.go charts/waybill/crds/*.yaml \
	api/rest/server.gen.go api/rest/model/types.gen.go ui/src/api/schema.d.ts; }
sums() { generated | xargs sha256sum; }
before=$(mktemp)
trap 'rm -f "$before"' EXIT
sums >"$before"
${MAKE:-make} generate
if ! changed=$(sums | diff "$before" -); then
	printf '%s\n' "$changed" | sed -n 's/^> [0-9a-f]*  /generated anew, and different: /p' >&2
	git --no-pager diff --stat -- $(generated) >&2
	echo 'Commit what make generate writes, together with what it is generated from.' >&2
	exit 1
fi
