# mysimbdp: the front door. Each verb says what it does with `make help`; the building itself is Meson's (meson.build).
#
#   make demo        see it work, in under two minutes
#   make test        every test
#
# BUILD=dir builds elsewhere; JOBS=n limits parallel compilers.

BUILD ?= build
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
# Without detect_stack_use_after_return: gcc 12 misaligns 64-byte vectors on its fake stacks (GCC bug 110027).
ASAN_OPTIONS ?= strict_string_checks=1
UBSAN_OPTIONS ?= print_stacktrace=1:halt_on_error=1
export ASAN_OPTIONS UBSAN_OPTIONS

.DEFAULT_GOAL := help
.PHONY: help setup build release demo run test unit e2e bench asan tsan fuzz lint format docs install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that are missing (says which and why)
	@tools/setup build

build: setup ## compile everything; the program is build/mysimbdp
	@tools/build $(BUILD) --jobs $(JOBS)

demo: build ## two tenants, from upload to the warehouse; ends by itself, leaves nothing running
	@tools/demo $(BUILD)

run: build ## start the platform and stay up (data in build/run, http://127.0.0.1:8090)
	@$(BUILD)/mysimbdp serve --data $(CURDIR)/$(BUILD)/run

test: build ## every test: units, fuzz corpora, the whole platform, the house rules
	@tools/setup test
	@tools/test $(BUILD) unit fuzz e2e house

unit: build ## only the unit tests and fuzz corpora (seconds)
	@tools/test $(BUILD) unit fuzz

e2e: build ## only the tests of the built program (pytest); ARGS='-k upload' narrows them
	@tools/setup test
	@tools/test $(BUILD) e2e -- $(ARGS)

bench: ## speed and memory against the rivals, measured on this machine
	@tools/setup build test
	@tools/build build-release --jobs $(JOBS) --release
	@bench/run build-release

asan: setup ## every test again under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/setup test
	@tools/build build-asan --jobs $(JOBS) --sanitize address,undefined
	@tools/test build-asan unit fuzz e2e

tsan: setup ## the unit tests under ThreadSanitizer
	@tools/build build-tsan --jobs $(JOBS) --sanitize thread
	@tools/test build-tsan unit

fuzz: ## run every fuzz target for SECONDS=30 each with clang's libFuzzer
	@tools/setup build lint
	@tools/fuzz $(or $(SECONDS_EACH),$(SECONDS),30)

lint: build ## house rules, warnings as errors, clang-tidy, cppcheck, gcc's analyzer
	@tools/setup lint
	@tools/lint/run $(BUILD)

format: ## lay out the C code with clang-format
	@tools/setup lint
	@git ls-files '*.c' '*.h' | xargs clang-format -i

docs: build ## print the reference pages from the option tables into docs/
	@tools/docs $(BUILD)

install: ## install the program, the sample apps and the manual page under PREFIX (/usr/local)
	@tools/setup build
	@tools/build build-release --jobs $(JOBS) --release --prefix $(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C build-release --no-rebuild

clean: ## remove what was built
	rm -rf build build-asan build-tsan build-release build-fuzz
