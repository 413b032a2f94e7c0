# One target per verb. Needs Python 3.11+, make and a package index; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE ?=

.PHONY: help demo test test-all check format bench lock clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/.runtime: requirements/runtime.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "datalab needs Python 3.11 or newer as '$(PYTHON)'; name another with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: install python3-venv."; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.bench: $(VENV)/.dev requirements/bench.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

demo: $(VENV)/.runtime ## start a complete gateway on real sector data under ./demo-home
	$(BIN)/datalab demo --home demo-home --port $${PORT:-8080}

test: $(VENV)/.dev ## the tests (a missing server skips with its reason)
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow"

test-all: $(VENV)/.dev ## PostgreSQL, kill -9, races, fuzzing, real clients
	$(BIN)/python -m pytest -n auto --dist loadgroup -m slow

check: $(VENV)/.dev ## lint, types, import contracts, deploy files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench ## ratios against in-process DuckDB and ROAPI
	$(BIN)/python -m benchmarks

lock: ## renew the hash-pinned requirement files (needs uv)
	uv pip compile pyproject.toml -q --no-header --generate-hashes --no-emit-index-url -o requirements/runtime.txt
	uv pip compile requirements/build.in -q --no-header --generate-hashes --no-emit-index-url -o requirements/build.txt
	uv pip compile pyproject.toml -q --no-header --generate-hashes --no-emit-index-url --extra dev -c requirements/runtime.txt -o requirements/dev.txt
	uv pip compile pyproject.toml -q --no-header --generate-hashes --no-emit-index-url --extra dev --extra bench -c requirements/dev.txt -o requirements/bench.txt

clean: ## remove the environment and the demo
	rm -rf $(VENV) demo-home .mypy_cache .ruff_cache .hypothesis .coverage
