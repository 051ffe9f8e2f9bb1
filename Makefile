# Comity's own commands. Each prints one line for each thing that it does.
#
#   make setup                  install what development needs into .venv/ (PYTHON= overrides the search)
#   make demo [CHAPTER=name]    run the demonstration
#   make test [WORKERS=n]       lint, then every test but the slow sweeps
#   make test-all [SWEEP=n]     lint, then every test, with the slow sweeps
#   make bench                  measure against peers, in .venv-bench/
#   make lint                   style, types, layers, dependencies
#   make lock [UPGRADE=1]       write requirements/*.txt again from pyproject.toml
#   make clean                  remove what these commands made

SHELL := /bin/sh
.DEFAULT_GOAL := setup
.DELETE_ON_ERROR:
.PHONY: setup demo test test-all bench lint lock clean

VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP_QUIETLY := -m pip --disable-pip-version-check --quiet --quiet --no-input
UV_VERSION := 0.13.8
UV_VENV := build/uv
PYTEST_ARGS ?=
WORKERS ?= 2

# ---- setup -----------------------------------------------------------------------------------------------

setup: $(VENV)/.installed
	@:

# $(call make_venv,folder,lock file): a hash-checked install of exactly what the lock file names. It names everything, so
# nothing is resolved: pip would look at a newer release where an extra is asked for, and refuse it for want of a hash.
define make_venv
	@python=$$(PYTHON='$(PYTHON)' sh tools/find_python) || exit 1; \
	if ! $(1)/bin/python -m pip --version >/dev/null 2>&1; then \
	    echo "setup: make $(1) with $$python"; \
	    "$$python" -m venv --clear $(1) || exit 1; \
	fi
	@echo "setup: install $(2) into $(1)"
	@$(1)/bin/python $(PIP_QUIETLY) install --require-hashes --no-deps --requirement $(2)
	@$(1)/bin/python $(PIP_QUIETLY) check
endef

# $(call install_comity,folder): the source tree itself, editable, without asking any index for anything.
define install_comity
	@echo "setup: install comity into $(1), editable"
	@$(1)/bin/python $(PIP_QUIETLY) install --no-deps --no-build-isolation --no-index --editable .
endef

$(VENV)/.locked: requirements/test.txt
	$(call make_venv,$(VENV),$<)
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	$(call install_comity,$(VENV))
	@touch $@

$(BENCH_VENV)/.locked: requirements/bench.txt
	$(call make_venv,$(BENCH_VENV),$<)
	@touch $@

$(BENCH_VENV)/.installed: $(BENCH_VENV)/.locked pyproject.toml
	$(call install_comity,$(BENCH_VENV))
	@touch $@

# $(call quietly,command): its output is printed only if it fails.
quietly = out=$$($(1) 2>&1) || { echo "$$out"; exit 1; }

# ---- run -------------------------------------------------------------------------------------------------

demo: setup
	@echo "demo: examples/release_clerk/demo.py $(CHAPTER)"
	@$(BIN)/python examples/release_clerk/demo.py $(CHAPTER)

# The tests of one file share what they start (nodes, PostgreSQL, the client matrix), so a file stays with one worker.
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test: setup lint
	@echo "test: pytest, without the slow sweeps"
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

# SWEEP=n reaches the tests through the environment, as make does with what its command line sets.
test-all: setup lint
	@echo "test-all: pytest, with the slow sweeps"
	@$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

bench: $(BENCH_VENV)/.installed
	@echo "bench: tests/benchmarks"
	@PYTHONPATH=tests $(BENCH_VENV)/bin/python -m benchmarks $(BENCH_ARGS)

lint: setup
	@echo "lint: ruff check"
	@$(BIN)/ruff check --quiet .
	@echo "lint: ruff format"
	@$(BIN)/ruff format --quiet --check .
	@echo "lint: mypy"
	@$(BIN)/mypy --strict --no-error-summary src tools
	@echo "lint: layers"
	@$(call quietly,$(BIN)/lint-imports --no-logo --cache-dir build/import-linter)
	@echo "lint: deptry"
	@$(call quietly,$(BIN)/deptry --no-ansi src)
	@echo "lint: tidy"
	@$(BIN)/python tools/tidy.py

# ---- house -----------------------------------------------------------------------------------------------

LOCK = $(UV_VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) \
	pyproject.toml requirements/build.in

$(UV_VENV)/bin/uv:
	@echo "lock: install uv $(UV_VERSION) into $(UV_VENV)"
	@python=$$(PYTHON='$(PYTHON)' sh tools/find_python) || exit 1; "$$python" -m venv --clear $(UV_VENV)
	@$(UV_VENV)/bin/python $(PIP_QUIETLY) install uv==$(UV_VERSION)

lock: $(UV_VENV)/bin/uv
	@echo "lock: requirements/run.txt"
	@$(LOCK) --output-file requirements/run.txt
	@echo "lock: requirements/test.txt"
	@$(LOCK) --extra test --output-file requirements/test.txt
	@echo "lock: requirements/bench.txt"
	@$(LOCK) --extra bench --output-file requirements/bench.txt
	@if grep -n '://' requirements/*.txt; then echo "lock: a lock file names a host (above)" >&2; exit 1; fi

clean:
	@echo "clean: environments, caches, builds"
	@rm -rf $(VENV) $(BENCH_VENV) build dist .mypy_cache .ruff_cache .hypothesis .pytest_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
