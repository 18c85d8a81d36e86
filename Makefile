# make help lists the targets. Everything runs from .venv, which is built on first use and again when the lock changes.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Set PYTHON to choose the interpreter. Left alone, the first supported one of this list builds the environment.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.10)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: help demo test check fix bench eval protos lock venv clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS=... passes arguments on:   make test ARGS='tests/cli -k route'"
	@echo "  PYTHON=... picks the Python:    make venv PYTHON=python3.12"

demo: $(INSTALLED) ## Start Triton, the gateway and two example agents; needs no key
	@$(BIN)/python examples/travel/demo.py $(ARGS)

test: $(INSTALLED) ## Run every test (ARGS='-m "not e2e"' for the quick ones)
	@$(BIN)/python -m pytest $(ARGS)

check: $(INSTALLED) ## Check format, lint, types and imports (the tests are `make test`)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(INSTALLED) ## Repair what can be repaired: format and lint
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED) ## Measure latency, throughput and overhead
	@$(BIN)/python benchmarks/run.py $(ARGS)

eval: $(INSTALLED) ## Measure the embedded models on held-out texts; writes benchmarks/quality.md
	@$(BIN)/python training/evaluate.py $(ARGS)

lock: ## Resolve requirements.lock again from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	uv pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-emit-index-url \
	  --extra embedded --extra redis --extra postgres --group dev -o requirements.lock $(ARGS)

venv: $(INSTALLED) ## Build .venv: the only set-up

$(INSTALLED): requirements.lock pyproject.toml
	@set -euo pipefail; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  python=''; \
	  for candidate in $(PYTHONS); do \
	    if "$$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	      python=$$candidate; break; \
	    fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "Trident needs Python 3.10 to 3.13; none of these is one: $(PYTHONS)." >&2; \
	    echo "  Fix: install one, then run make with PYTHON=/path/to/python3.11" >&2; \
	    exit 1; \
	  fi; \
	  rm -rf $(VENV); \
	  echo "Creating $(VENV) with $$("$$python" --version)"; \
	  if ! "$$python" -m venv $(VENV) >/dev/null 2>&1 \
	    && ! "$$python" -m virtualenv -q $(VENV) 2>/dev/null \
	    && ! uv venv -q --clear --seed --python "$$(command -v "$$python")" $(VENV) 2>/dev/null; then \
	    rm -rf $(VENV); \
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "$$python cannot create a virtual environment: its venv module is missing." >&2; \
	    echo "  Fix (Debian, Ubuntu): sudo apt-get install python$$version-venv" >&2; \
	    exit 1; \
	  fi; \
	fi; \
	echo "Installing the locked dependencies (once; about 150 MB to download)"; \
	$(PIP) install -q --no-deps --require-hashes -r requirements.lock; \
	$(PIP) install -q --no-deps --no-build-isolation -e .; \
	touch $@

protos: $(INSTALLED) ## Generate router/protos/v1 from protos/
	@$(BIN)/python tests/protos/generating.py

clean: ## Remove caches and build output
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .cache build dist benchmarks/out
	find router tests examples model_repository benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## Remove .venv too
	rm -rf $(VENV)
