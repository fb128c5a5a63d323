# Carillon: `make demo` shows it, `make test` proves it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help deps build test soak lint demo bench manual install uninstall deb format clean

swift_sources := Package.swift Sources Tests sql
carillon := .build/release/carillon
release := swift build -c release --static-swift-stdlib
# Hundreds of tests at once, each with a daemon, would wait for each other past their limits.
width := SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH=8
# A hang is a failure: every step has its limit.
limit := timeout --kill-after=10

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

deps: ## Install the Debian packages that are missing
	@.ci/deps

build: deps ## Build .build/release/carillon
	@$(limit) 1800 $(release) --product carillon

test: deps lint ## Build and run all tests
	@$(limit) 1800 swift build --build-tests
	@# The package that the boot tests install has the manual in it.
	@$(limit) 600 swift build --product generate-manual
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
	@$(carillon) demo --folder .demo

bench: deps ## Measure, each figure beside its floor
	@$(limit) 1800 $(release) --product carillon-bench
	@$(limit) 1800 $(release) --product carillon
	@.build/release/carillon-bench

# Where `make install` puts things. With a DESTDIR they are only staged there.
PREFIX ?= /usr/local
DESTDIR ?=
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
pages := .build/manual

manual: build ## Make the manual pages and the completions for shells, in .build/manual
	@$(limit) 600 swift build --product generate-manual >/dev/null
	@.man/build $(carillon) $$(swift build --show-bin-path)/generate-manual $(pages)

install: ## Install program, manual, completions and units below PREFIX (/usr/local)
	@# What was built stays as it is: root may have no compiler.
	@[ -x $(carillon) ] && [ -e $(pages)/carillon.1 ] || $(MAKE) --no-print-directory manual
	@install -Ds $(carillon) $(DESTDIR)$(PREFIX)/bin/carillon
	@install -Dm 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(pages)/*.1
	@install -Dm 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 .man/carillon.conf.5
	@install -Dm 644 $(pages)/completion.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/carillon
	@install -Dm 644 $(pages)/completion.zsh \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_carillon
	@install -Dm 644 $(pages)/completion.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/carillon.fish
	@install -Dm 644 -t $(DESTDIR)$(PREFIX)/share/doc/carillon systemd/root.conf
	@install -Dm 644 -t $(DESTDIR)$(PREFIX)/share/doc/carillon/manual \
		Sources/carillon/Manual.docc/*.md
	@sed 's|Sources/carillon/Manual.docc|manual|' README.md \
		>$(DESTDIR)$(PREFIX)/share/doc/carillon/README.md
	@install -d $(DESTDIR)$(UNITDIR)
	@for unit in carillon.service carillon@.service; do \
		sed 's|/usr/bin/carillon|$(PREFIX)/bin/carillon|; s|/etc/carillon|$(SYSCONFDIR)/carillon|' \
			systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit; done
	@install -Dm 644 systemd/carillon.sysusers $(DESTDIR)$(SYSUSERSDIR)/carillon.conf
	@# What somebody wrote there stays.
	@[ -e $(DESTDIR)$(SYSCONFDIR)/carillon/carillon.conf ] || \
		install -Dm 644 -t $(DESTDIR)$(SYSCONFDIR)/carillon systemd/carillon.conf
	@[ -n "$(DESTDIR)" ] || [ -e $(SYSCONFDIR)/carillon/pgpass ] || \
		install -m 600 /dev/null $(SYSCONFDIR)/carillon/pgpass

uninstall: ## Remove what `make install` put there, except for the settings
	@rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/carillon share/man/man1/carillon.1 \
		share/man/man1/carillon-*.1 share/man/man5/carillon.conf.5 \
		share/bash-completion/completions/carillon share/zsh/site-functions/_carillon \
		share/fish/vendor_completions.d/carillon.fish) $(DESTDIR)$(SYSUSERSDIR)/carillon.conf \
		$(DESTDIR)$(UNITDIR)/carillon.service $(DESTDIR)$(UNITDIR)/carillon@.service
	@rm -rf $(DESTDIR)$(PREFIX)/share/doc/carillon

deb: manual ## Make a Debian package in .build
	@rm -rf .build/deb
	@$(MAKE) --no-print-directory install PREFIX=/usr DESTDIR=.build/deb
	@version=$$($(carillon) --version) && \
		package=.build/carillon_$${version}_$$(dpkg --print-architecture).deb && \
		.debian/build .build/deb "$$version" "$$package" && echo "$$package"

clean: ## Remove what was built, and the database of the demo
	@rm -rf .build .demo
