# make run: install and run the main scenario.  make test: install and run every test.  make check: lint and types.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

unexport PYTHONDONTWRITEBYTECODE # else each process that a test starts would compile all sources anew

.PHONY: run story test test-page test-bench bench validate mutants fuzz check digest format docs clean help

help:
	@grep -E '^# make|^## ' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "meltpoint needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make run PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(BIN)/python -c 'from sim.engine.first_use import compile_now; compile_now()'  # machine code of the engine
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

## make run     all playbooks of the main scenario compared: which one to choose, what it costs, and an HTML report
run: $(VENV)/.installed
	$(BIN)/meltpoint compare viral-image-launch --seeds 3 --out runs/viral-image-launch --replace

## make story   the launches of 2022 and 2025 on one page, each claim beside the figure and the run behind it
story: $(VENV)/.installed
	$(BIN)/meltpoint story --out runs/story.html

## make test    every test
test: $(VENV)/.installed-test
	@$(BIN)/python -c 'from sim.engine.first_use import compile_now; compile_now()' # once, not in every process
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder --ignore tests/test_page.py  # that is test-page

## make test-page  the what-if pages in a real Chromium, Debian's where there is none; skipped, with the reason, elsewhere
test-page: $(VENV)/.installed-test
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
		echo "no Chromium, and none can be installed here: the tests of the pages are skipped"
	$(BIN)/python -m pytest -rs tests/test_page.py

## make test-bench  the tests of the GPU benchmark, which need torch
test-bench: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,test]'
	$(BIN)/python -m pytest tests/test_bench_*.py

PEERS := .venv-peers

$(PEERS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[peers]'
	@touch $@

## make bench   how fast it is, as ratios in one run: against the readable engine, peers, its own size; the real week
bench: $(PEERS)/.installed
	$(PEERS)/bin/python benchmarks/start.py
	$(PEERS)/bin/python benchmarks/beside.py
	$(PEERS)/bin/python benchmarks/hour.py
	$(PEERS)/bin/python benchmarks/playbooks.py
	$(PEERS)/bin/python benchmarks/chat.py
	$(PEERS)/bin/python benchmarks/mm100.py
	$(PEERS)/bin/python benchmarks/growth.py
	$(PEERS)/bin/python benchmarks/importing.py
	$(PEERS)/bin/python benchmarks/week.py

## make validate  proofs: STUDY=theory (TABLE=mine.csv), sight, peers, overload, live, batcher, calibrate, foresight, torch or traces FILE=FOLDER; theory, overload, live if none
validate: $(VENV)/.installed-test
	$(BIN)/python -m tests.studies $(or $(STUDY),all) $(or $(TABLE),$(FILE)) $(if $(OUT),--out $(OUT))

## make mutants  small faults, one at a time: does a test notice each? WORDS="CoDel quota" for some
mutants: $(VENV)/.installed-test
	$(BIN)/python -m tests.mutants $(WORDS)

## make check   lint, formatting and types
check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.asserts

## make fuzz     documents of scenarios, profiles, recordings, changed at random: refused or used, never a traceback
fuzz: $(VENV)/.installed-test
	$(BIN)/python -m tests.fuzz $(or $(TRIES),50000)

## make digest  whether every table of every shipped run, on both engines, is still the committed one
digest: $(VENV)/.installed-test
	$(BIN)/python -m tests.digest

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

## make docs    the documentation as a site: commands run, notebooks executed, links checked
docs: $(VENV)/.installed-docs $(VENV)/.installed-test
	$(BIN)/python -m tests.commands
	$(BIN)/sphinx-build -W --keep-going -q -n -c docs . build/site
	$(BIN)/python -m tests.site build/site
	@echo "Open build/site/docs/index.html"

## make format  put the code into the house's format
format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(PEERS) runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
