PYTHON ?= python3
PORT ?= 8888
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# What an installation depends on; a stamp that is newer than these is up to date.
PACKAGING := setup.cfg setup.py pyproject.toml package.json package-lock.json

.PHONY: run test test-long lint bench
# Else a virtual environment that failed half way would count as made.
.DELETE_ON_ERROR:

run: .venv/installed
	$(BIN)/python server.py --port $(PORT) $(ARGS)

test: .venv/installed-dev
	$(BIN)/python -m pytest $(ARGS)

test-long: .venv/installed-dev
	$(BIN)/python -m pytest -m long $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python -m bench $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "gantt-tornado needs Python 3.11 or newer, and $(PYTHON) is not:" \
	       "try 'make PYTHON=python3.12 $(MAKECMDGOALS)'" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv

.venv/installed: $(PACKAGING) | $(BIN)/python
	$(PIP) --editable .
	@touch $@

.venv/installed-dev: $(PACKAGING) | $(BIN)/python
	$(PIP) --editable '.[test,lint]'
	@touch .venv/installed $@
