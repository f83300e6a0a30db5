# `make check` is everything that CI runs. Tools are pinned here and run by `go run`:
# nothing to install, nothing in go.mod.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GORELEASER := go run github.com/goreleaser/goreleaser/v2@v2.14.0
BIN := bin/llmlimit
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: check
check: need fmt-check lint vet build foreign test histories suites selftest ## all of it; what CI runs
	@echo "check: all passed"

.PHONY: need
need: ## install what the checks need (as root on Debian), or say what is missing
	@scripts/need gcc:gcc chromium:chromium

.PHONY: fmt
fmt: ## format the code
	$(LINT) fmt ./...

.PHONY: fmt-check
fmt-check: ## fail where the formatter would change something
	$(LINT) fmt --diff ./...

.PHONY: lint
lint: ## the linters, layers of the design included
	$(LINT) run ./...

.PHONY: vet
vet:
	go vet ./...
	go mod verify
	go mod tidy -diff

.PHONY: build
build: ## the binary, in bin/
	go build -o $(BIN) ./cmd/llmlimit

.PHONY: foreign
foreign: ## one platform that is not this one
	CGO_ENABLED=0 GOOS=windows GOARCH=arm64 go build -o /dev/null ./cmd/llmlimit

.PHONY: test
test: ## every test, with the race detector
	go test -race -shuffle=on -timeout 20m ./...

.PHONY: histories
histories: ## a thousand random histories of the good proxy, and no alarm
	LLMLIMIT_HISTORIES=1000 go test -run TestNoFalseAlarm -timeout 10m ./cmd/llmlimit

.PHONY: suites
suites: build ## the embedded suites against the bundled proxy, in virtual time
	$(BIN) run --progress none

.PHONY: selftest
selftest: build ## each faulty limiter against the scenarios that name it
	$(BIN) selftest

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	scripts/fuzz $${FUZZTIME:-30s}

.PHONY: soak
soak: build ## what is too long for every change
	@scripts/need jq:jq
	scripts/soak $(BIN)

.PHONY: bench
bench: ## benchmarks, and a table of their bounds; figures are in docs/performance.md
	scripts/bench

.PHONY: release-check
release-check: ## cross-compile what is released and check the release configuration
	scripts/release-check

.PHONY: pictures
pictures: build ## draw the README's pictures again
	scripts/pictures $(BIN)
