# Carillon: `make demo` shows it, `make test` proves it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build test lint demo bench format clean

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
