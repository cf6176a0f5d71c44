# Two commands matter: `make demo` and `make test`. Both need Python 3.11 or newer and make, nothing else.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test format lint types contracts tests browsers clean help

help:
	@echo "make demo    install, publish the Hanoi programme with synthetic people, serve it on 127.0.0.1:8000"
	@echo "make test    format, lint, types, contracts, tests; says at the end what it left out"
	@echo "make format  put the code into the house format"
	@echo "make clean   remove the virtual environment and caches (the data folder stays)"

demo: .venv/demo
	@$(BIN)/ketnoi demo

test: .venv/test lint types contracts tests

lint: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/test
	$(BIN)/mypy

contracts: .venv/test
	$(BIN)/lint-imports

tests: .venv/test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

format: .venv/test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Kết Nối needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv

# durable-rules comes as C source for Python 3.11 and 3.12. Where it cannot be built, the reference matcher decides.
.venv/demo: .venv/bin/python pyproject.toml
	@echo "Installing Kết Nối into .venv (a minute or so the first time)"
	@$(PIP) --editable .
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 13))' && command -v cc >/dev/null 2>&1 \
		&& $(PIP) --editable '.[durable]' 2>/dev/null; then :; \
	else echo "durable-rules cannot be built here (it needs a C compiler and Python 3.11 or 3.12):" \
		"the reference matcher decides alone."; fi
	@touch $@

.venv/test: .venv/demo
	@$(PIP) --editable '.[postgres,test]'
	@touch $@
