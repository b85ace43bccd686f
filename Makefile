# make run: install and run the main scenario.  make test: install and run every test.  make check: lint and types.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-bench bench check format clean help

help:
	@grep -E '^# make|^## ' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "meltpoint needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make run PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

## make run     the main scenario, its verdict and an HTML report
run: $(VENV)/.installed
	$(BIN)/meltpoint compare viral-image-launch --playbooks none,march-2025 --seeds 1 --out runs/viral-image-launch --replace

## make test    every test
test: $(VENV)/.installed-test
	@$(BIN)/python -c 'from sim.first_use import compile_now; compile_now()' # once, not in every process
	$(BIN)/python -m pytest -n auto --dist loadscope

## make test-bench  the tests of the GPU benchmark, which need torch
test-bench: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,test]'
	$(BIN)/python -m pytest tests/test_bench_*.py

## make bench   how fast the engines are, as ratios in one run
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/engines.py

## make check   lint, formatting and types
check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## make format  put the code into the house's format
format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
