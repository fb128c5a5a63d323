# Carillon: `make demo` shows it, `make test` proves it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build test soak lint demo bench format clean

swift_sources := Package.swift Sources Tests sql
release := swift build -c release --static-swift-stdlib
# Hundreds of tests at once, each with a daemon, would wait for each other past their limits.
width := SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=8
# A hang is a failure: every step has its limit.
limit := timeout --kill-after=10

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

deps: ## Install the Debian packages that are missing
	@.ci/deps

build: deps ## Build .build/release/carillon
	@$(limit) 1800 $(release) --product carillon

test: deps lint ## Build and run all tests
	@$(limit) 1800 swift build --build-tests
	@$(width) $(limit) 1200 swift test --skip-build --disable-xctest

# Whole minutes; everything else of the fault suite takes about ten before that.
soak_minutes := $(or $(CARILLON_SOAK_MINUTES),60)
soak := CARILLON_SOAK_MINUTES=$(soak_minutes) CARILLON_BINARY=$(CURDIR)/.build/release/carillon
soak: deps ## Faults in their long form, then CARILLON_SOAK_MINUTES (60) of them on five daemons
	@$(limit) 1800 $(release) --product carillon
	@$(limit) 1800 swift build --build-tests
	@$(soak) $(width) $(limit) 1800 swift test --skip-build --disable-xctest \
		--filter '^FaultTests\.' --skip SoakTests
	@$(soak) $(limit) $$(($(soak_minutes) * 120 + 600)) swift test --skip-build --disable-xctest \
		--filter '^FaultTests\.SoakTests'

lint: deps ## Check the form of the sources
	@$(limit) 120 swift format lint --strict --parallel --recursive $(swift_sources)

format: ## Bring the sources into form
	@swift format format --in-place --parallel --recursive $(swift_sources)

demo: build ## Serve a private database and watch jobs run
	@Tests/Demo/demo.sh .build/release/carillon

bench: deps ## Measure, each figure beside its floor
	@$(limit) 1800 $(release) --product carillon-bench
	@$(limit) 1800 $(release) --product carillon
	@.build/release/carillon-bench

clean: ## Remove what was built, and the database of the demo
	@rm -rf .build .demo
