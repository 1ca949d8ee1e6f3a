#!/usr/bin/env bash
# Prints the packages with tests of one kind:
#
#   unit   need nothing but Go, git and PostgreSQL's programs
#   env    start a control plane, so they need what `make build` builds
#
# test/arch and test/e2e are neither: they have targets of their own.
set -euo pipefail
module=$(${GO:-go} list -m)
env=" $module/test/env $module/internal/localkube $module/internal/local "
${GO:-go} list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.ImportPath}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}{{end}}' ./... |
	while read -r package imports; do
		case $package in "$module/test/arch" | "$module/test/e2e" | "$module/test/e2e/"*) continue ;; esac
		kind=unit
		for import in $imports; do
			case $env in *" $import "*) kind=env ;; esac
		done
		if [ $kind = "$1" ]; then printf '%s\n' "$package"; fi
	done
