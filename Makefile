# Waybill. `make help` lists what can be made.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export GO ?= go
NPM ?= npm
VERSION ?= $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null || echo dev)
BENCH_FLAGS ?=
FUZZTIME ?= 30s
UP_FLAGS ?=

# Static programs, which run wherever they are copied to.
# What they are made of is known to the go tool better than to make: it is always
# asked, and links nothing anew when nothing has changed.
BUILDVCS := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo true || echo false)
LDFLAGS := -s -w -X main.version=$(VERSION)
KUBE_SOURCES := $(wildcard test/kube/*.go test/kube/go.* test/kube/build.sh test/kube/stages/*)
UI_SOURCES := $(shell find ui/src ui/public -type f ! -name '*.test.*' ! -path 'ui/src/test/*') ui/index.html ui/vite.config.mjs ui/tsconfig.json ui/scripts/budget.mjs

##@ Start here

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: up
up: build ## Start Waybill with its demo on this machine, in the background (UP_FLAGS: see `waybill local up --help`)
	@bin/waybill local up --demo --detach $(UP_FLAGS)
	@command -v waybill >/dev/null || printf '\nFirst, so that the shell finds waybill:\n  export PATH="%s:$$PATH"\n' '$(CURDIR)/bin'

.PHONY: down
down: ## Stop it; its data stays
	@if [ -x bin/waybill ]; then bin/waybill local down; else echo 'nothing to stop: bin/waybill was not built yet'; fi

.PHONY: dev
dev: up ui/node_modules/.installed ## Serve the dashboard with hot reload, on the demo's API (after a change in Go: make down dev)
	@cd ui && WAYBILL_SERVER="$$(../bin/waybill local status -o json | sed -n 's/.*"server": *"\([^"]*\)".*/\1/p')" $(NPM) run dev

.PHONY: demo
demo: up ## The demo, and a tour of it: a version travels to prod, a broken one is taken back
	@examples/tour.sh bin/waybill

##@ Build

.PHONY: build
build: kube bin/waybill bin/waybilld ## Build bin/waybill, bin/waybilld with the dashboard, and bin/waybill-kube

.PHONY: bin/waybill
bin/waybill:
	@tools/progress.sh $@ . ./cmd/waybill env CGO_ENABLED=0 $(GO) build -v -buildvcs=$(BUILDVCS) -ldflags '$(LDFLAGS)' -o $@ ./cmd/waybill

.PHONY: bin/waybilld
bin/waybilld: ui
	@tools/progress.sh $@ . ./cmd/waybilld env CGO_ENABLED=0 $(GO) build -v -buildvcs=$(BUILDVCS) -ldflags '$(LDFLAGS)' -o $@ ./cmd/waybilld

.PHONY: kube
kube: bin/waybill-kube ## Build the Kubernetes that local mode and tests run on: about 5 minutes the first time

bin/waybill-kube: $(KUBE_SOURCES)
	@tools/progress.sh $@ test/kube . env GOFLAGS="$${GOFLAGS:-} -v" test/kube/build.sh
	@touch $@

.PHONY: ui
ui: ui/dist/index.html ## Build the dashboard

ui/node_modules/.installed: ui/package.json ui/package-lock.json
	@echo 'npm ci in ui'
	@cd ui && $(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

ui/dist/index.html: ui/node_modules/.installed $(UI_SOURCES)
	@echo 'building the dashboard'
	@cd ui && $(NPM) run --silent build
	@touch $@

##@ Test

.PHONY: test
test: ## Everything CI checks, cheapest first; stops at what fails and says how long each part took
	@tools/steps.sh needs format arch test-ui-unit verify build vet test-unit test-env test-e2e test-browser

.PHONY: presubmit
presubmit: test lint ## Run before sending a change: test and lint

.PHONY: test-unit
test-unit: ## Go tests that need nothing but Go, git and PostgreSQL, with the race detector
	$(GO) test -race $$(tools/packages.sh unit)

.PHONY: test-env
test-env: build ## Go tests against a real control plane, two packages at once, with the race detector
	$(GO) test -race -p 2 -timeout 20m $$(tools/packages.sh env)

.PHONY: test-e2e
test-e2e: build ## The whole product: real waybilld, real control plane, Git and registry
	$(GO) test -race -count=1 -timeout 20m ./test/e2e/...

.PHONY: test-ui
test-ui: test-ui-unit test-browser ## All tests of the dashboard

.PHONY: test-ui-unit
test-ui-unit: ui/node_modules/.installed ## Types, lint and component tests of the dashboard
	cd ui && $(NPM) run --silent typecheck && $(NPM) run --silent lint && $(NPM) run --silent test

.PHONY: test-browser
test-browser: build ## The dashboard in headless Chromium: its pages, then the main job on the real server
	cd ui && $(NPM) run --silent e2e && $(NPM) run --silent journey && $(NPM) run --silent decisions && $(NPM) run --silent sso

.PHONY: bench
bench: build ## Measure on the real control plane: a table and JSON (BENCH_FLAGS)
	$(GO) run ./test/bench $(BENCH_FLAGS)

.PHONY: bench-big
bench-big: build ## Measure what takes a quarter of an hour: 1,600 Applications, 1,000 drifts at once, 10,000 objects, 50 Stages at once
	$(GO) run ./test/bench -big -limit 40m -json test/artifacts/bench-big.json $(BENCH_FLAGS)

.PHONY: fuzz
fuzz: ## Look for new inputs with every fuzz target, FUZZTIME (30s) each, one for each processor side by side
	@GO='$(GO)' tools/fuzz.sh $(FUZZTIME)

##@ Check

.PHONY: lint
lint: bin/golangci-lint ## golangci-lint with .golangci.yaml; the first run builds it, which takes minutes
	bin/golangci-lint run ./...

.PHONY: format
format: ## Fail when gofmt would change a file
	@changed=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
		if [ -n "$$changed" ]; then printf 'gofmt -w these files:\n%s\n' "$$changed"; exit 1; fi

.PHONY: arch
arch: ## Import rules and other rules of the repository
	$(GO) test -count=1 ./test/arch

.PHONY: vet
vet: ## go vet, and the tests of test/kube with the flags it is built with
	CGO_ENABLED=0 $(GO) vet ./...
	cd test/kube && CGO_ENABLED=0 GOWORK=off $(GO) test -trimpath -buildvcs=false .

.PHONY: generate
generate: bin/controller-gen ui/node_modules/.installed ## Write generated code, CRDs and API types anew
	bin/controller-gen object crd paths=./api/v1alpha1/... output:crd:dir=charts/waybill/crds
	$(GO) generate ./api/rest
	cd ui && $(NPM) run --silent apigen

.PHONY: verify
verify: ## Fail when generating anew changes a file
	@tools/verify.sh

.PHONY: needs
needs: ## Check what this machine needs; as root on Debian, install what is missing
	@tools/needs.sh

.PHONY: clean
clean: ## Remove what was built (the demo's data stays: see make down)
	rm -rf bin ui/node_modules test/artifacts
	find ui/dist -mindepth 1 ! -name .gitkeep -delete

bin/controller-gen: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$@ sigs.k8s.io/controller-tools/cmd/controller-gen
	@touch $@

bin/golangci-lint: tools/lint/go.mod tools/lint/go.sum
	@tools/progress.sh $@ tools/lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint $(GO) -C tools/lint build -v -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@
