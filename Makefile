# Everything a developer or CI runs. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cksum requirements-dev.lock pyproject.toml protos/python/pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help deps lock demo up down status generate check-generate lint format test test-unit test-contract test-integration test-e2e test-security test-typescript test-api test-chaos test-slow test-browser bench bench-render bench-gateway bench-lists bench-cancel bench-storage bench-auth bench-fanout bench-submission chaos clean gallery

help:  ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP):
	@$(PYTHON) deploy/local/system.py
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) …"
	@$(PIP) --no-deps "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements-dev.lock)"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements-dev.lock \
	  || $(PIP) --require-hashes -r requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation -e ./protos/python -e .
	@rm -f $(VENV)/.installed-* && touch $@

deps: $(STAMP)  ## Install system libraries and locked packages into .venv.

lock: deps  ## Resolve the lock files anew (hashes, no index address).
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-package t2m-protos --no-header --no-annotate --upgrade -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --all-extras -c requirements.lock --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-package t2m-protos --no-header --no-annotate -o requirements-dev.lock

demo: deps  ## Render the sample video end to end on an embedded stack.
	@$(BIN)/python -m deploy.local demo

gallery: deps  ## Render one scene of every kind into .t2m/gallery, and deploy/gallery.jpg.
	@$(BIN)/python -m tests.gallery

up: deps  ## Start the embedded stack and keep it running (Ctrl-C stops it).
	@$(BIN)/python -m deploy.local up

down: deps  ## Stop the embedded stack.
	@$(BIN)/python -m deploy.local down

status: deps  ## Say what of the embedded stack runs, and where.
	@$(BIN)/python -m deploy.local status

generate: deps  ## Generate the Python stubs from the protos.
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python protos/generate.py

check-generate: deps  ## Fail when the committed stubs differ from the protos.
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python protos/generate.py --check

lint: deps  ## ruff, mypy --strict, buf lint and format, import contracts.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python protos/generate.py --imports-only
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: deps  ## Format Python and protos.
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .
	@$(BIN)/buf format --write

TYPESCRIPT := tests/typescript/node_modules/.package-lock.json

$(TYPESCRIPT): tests/typescript/package-lock.json tests/typescript/package.json | $(STAMP)
	@$(BIN)/npm ci --prefix tests/typescript --silent
	@touch $@

# Most tests wait for a process to die, start or notice: two at a time share the cores well. Each worker of pytest has
# servers of its own; the tests of a file stay together. In the order of their names the long files come first, and the
# thousands of unit tests fill both cores to the end.
test: deps $(TYPESCRIPT)  ## Every tier but the browser's, on real parts.
	@$(BIN)/python -m compileall -q services gateway deploy protos/python/src  # for the hundreds of processes that it starts
	@$(PYTEST) tests -n 2 --dist loadfile --no-loadscope-reorder

test-slow: deps  ## What takes minutes and 16 GB of disk: objects beyond 5 GiB.
	@$(PYTEST) tests -m slow

test-unit: deps  ## No process, no network; seconds.
	@$(PYTEST) tests/unit

test-contract: deps  ## Fakes and real adapters against the same suites.
	@$(PYTEST) tests/contract

test-integration: deps  ## One service at a time on real Postgres, Redis, Celery, Manim.
	@$(PYTEST) tests/integration

test-e2e: deps  ## The whole embedded stack over REST and gRPC.
	@$(PYTEST) tests/e2e

test-security: deps  ## Attacks on the whole embedded stack.
	@$(PYTEST) tests/security

test-typescript: deps $(TYPESCRIPT)  ## A TypeScript client made from the API document, compiled and run.
	@$(PYTEST) tests/typescript

test-api: deps  ## The API document against the whole stack: a hundred cases for each operation and check (minutes).
	@$(BIN)/python -m tests.api

test-chaos: deps  ## Kill things in the middle and check the invariants.
	@$(PYTEST) tests/chaos

HLS := tests/browser/node_modules/.package-lock.json

$(HLS): tests/browser/package-lock.json tests/browser/package.json | $(STAMP)
	@$(BIN)/npm ci --prefix tests/browser --silent
	@touch $@

test-browser: deps $(HLS)  ## Playback by hls.js in headless Chromium, which it installs; /docs in it.
	@$(PYTHON) deploy/local/system.py --browser
	@$(PYTEST) tests/browser

bench: bench-render bench-gateway bench-lists bench-cancel bench-storage bench-auth bench-submission bench-fanout  ## Every benchmark, peers in the same run.

bench-render: deps  ## Render wall time beside the manim command line.
	@$(BIN)/python -m tests.bench.render

bench-gateway: deps  ## CPU of the gateway per request, beside Envoy, a FastAPI app and a naive one.
	@$(BIN)/python -m tests.bench.gateway.unary

bench-submission: deps  ## CPU of an order from POST to stored and queued, beside a monolith.
	@$(BIN)/python -m tests.bench.submission

bench-fanout: deps  ## 5,000 who watch, from the commit in job to the client, beside Envoy.
	@$(BIN)/python -m tests.bench.fanout

bench-lists: deps  ## Pages of a list at a million rows, beside OFFSET.
	@$(BIN)/python -m tests.bench.lists

bench-cancel: deps  ## How soon a cancel is felt, and a killed worker's scene runs again.
	@$(BIN)/python -m tests.bench.cancel

bench-storage: deps  ## Bytes beside raw boto3 and file copy; memory under 50 slow readers; S3 away for a minute.
	@$(BIN)/python -m tests.bench.storage throughput
	@$(BIN)/python -m tests.bench.storage memory
	@$(BIN)/python -m tests.bench.storage outage

bench-auth: deps  ## Tokens verified, exchanged, made; how soon an ending is felt; whether time tells who has an account.
	@$(BIN)/python -m tests.bench.auth
	@$(BIN)/python -m tests.bench.auth.enumeration

FAULTS ?= 200
JOBS ?= 60
SEED ?= 1

chaos: deps  ## A long seeded storm of faults (FAULTS=200 JOBS=60 SEED=1); prints its table.
	@$(BIN)/python -m tests.chaos --faults $(FAULTS) --jobs $(JOBS) --seed $(SEED)

clean:  ## Remove the virtual environment, caches and the data folder of a stopped stack.
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m deploy.local down --quiet || true; fi
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .protos-vendor .t2m
