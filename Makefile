# The chores, the same for people and for CI. `make` alone lists them.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# The first of these that is Python 3.11 or newer; `make PYTHON=… demo` takes another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
PAGE_SOURCES := $(shell find frontend -type f -not -path '*/node_modules/*' -not -path '*/.next/*' \
	-not -path '*/out/*' -not -name '*.tsbuildinfo' 2>/dev/null)
NODE_OK := $(shell node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && echo yes)
BENCH_FLAGS := $(if $(ONLY),--only $(ONLY)) $(if $(SHAPE),--shape $(SHAPE)) $(if $(ROUNDS),--rounds $(ROUNDS))
# Tests mostly wait for each other's servers: more at a time than there are cores.
TESTS_AT_ONCE ?= 4
export NEXT_TELEMETRY_DISABLED := 1

.PHONY: help demo test check fmt page faults hostile fuzz bench bench-quick bench-hold bench-contenders clean test-servers

help: ## list what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 16

demo: $(VENV)/.app $(if $(NODE_OK),frontend/out/index.html) ## set up, then show hints arriving in a browser
ifndef NODE_OK
	@echo "Node 20 or newer is not here, so there is no page; hints can be read in a terminal."
endif
	@exec $(BIN)/hint-relay dev --sample

test: $(VENV)/.dev test-servers frontend/out/index.html ## set up, then run every test (TESTS_AT_ONCE=4)
	@echo "==> Tests of the page (vitest)"
	@cd frontend && npm test --silent
	@echo "==> Tests of relay, producers, page and deployment (pytest, $(TESTS_AT_ONCE) at a time)"
	@$(BIN)/pytest -m "not alone" --numprocesses $(TESTS_AT_ONCE) --dist worksteal
	@echo "==> Those that count milliseconds, one at a time"
	@$(BIN)/pytest -m alone

check: $(VENV)/.dev frontend/node_modules/.ready ## lint and type-check both languages
	@echo "==> ruff"; $(BIN)/ruff format --check . && $(BIN)/ruff check .
	@echo "==> mypy"; $(BIN)/mypy
	@echo "==> biome and tsc"; cd frontend && npm run --silent check

fmt: $(VENV)/.dev frontend/node_modules/.ready ## format and fix what can be fixed
	@$(BIN)/ruff check --fix-only -q . ; $(BIN)/ruff format . ; cd frontend && npm run --silent format

page: frontend/out/index.html ## build the facilitator's page into frontend/out

faults: $(VENV)/.dev test-servers ## run the whole fault matrix (some 10 minutes; SEED=, ONLY=, SHORT=1)
	@$(BIN)/python -m tests.faults

hostile: $(VENV)/.dev test-servers ## attack a relay in six ways, and see what a facilitator notices (ONLY=, SHORT=1)
	@$(BIN)/python -m tests.hostile

fuzz: $(VENV)/.dev test-servers ## send a relay broken frames and requests (FRAMES=, REQUESTS=, SEED=, ONLY=)
	@$(BIN)/python -m tests.fuzz

bench: $(VENV)/.dev test-servers bench-contenders ## measure the relay beside others (ONLY=, SHAPE=, ROUNDS=)
	@$(BIN)/python -m tests.bench $(BENCH_FLAGS)

bench-quick: $(VENV)/.dev test-servers ## the same with few contenders, in under 3 minutes
	@$(BIN)/python -m tests.bench --quick $(BENCH_FLAGS)

bench-hold: $(VENV)/.dev test-servers ## hold 19,000 connections on one worker for 5 minutes
	@$(BIN)/python -m tests.bench --only ours --shape hold --rounds 1

bench-contenders:
	@tests/bench/install-contenders $(PYTHON)

clean: ## remove everything that these targets made
	rm -rf $(VENV) .bench-venv .bench-cache frontend/node_modules frontend/.next frontend/out test-results bench-results
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis

test-servers:
	@tests/install-servers

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or give it: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@echo "==> Making a virtual environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) can't make virtual environments: on Debian, apt-get install python3-venv."; exit 1; }
	@touch $@

$(VENV)/.app: $(VENV)/.made requirements.txt pyproject.toml
	@echo "==> Installing the relay's Python packages (some 20 seconds)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.app requirements-dev.txt
	@echo "==> Installing the tools for tests and checks (some 20 seconds)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

frontend/node_modules/.ready: frontend/package-lock.json frontend/package.json
	@test -n "$(NODE_OK)" || { echo "Node 20 or newer is needed for the page: install it first."; exit 1; }
	@echo "==> Installing the page's packages (some 20 seconds)"
	@cd frontend && npm ci --silent --no-fund --no-audit
	@touch $@

frontend/out/index.html: frontend/node_modules/.ready $(PAGE_SOURCES)
	@echo "==> Building the page (some 20 seconds)"
	@cd frontend && npm run --silent build > .next-build.log 2>&1 || { cat .next-build.log; exit 1; }
	@touch $@
