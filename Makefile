PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv demo test nightly mutants lint format docs images clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 10

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "skgat needs Python 3.11 or newer; set PYTHON=, for example make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml setup.cfg constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable ".[test]"
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable ".[docs]"
	@touch $@

venv: $(VENV)/.installed-test  ## Make .venv with everything that the tests need

demo: $(VENV)/.installed  ## Rank the bundled models for a dataset that was held out
	$(BIN)/skgat demo

lint: venv  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv  ## Put the code in its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint  ## Lint, run the tests and doctests, check the branch coverage
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term

docs: $(VENV)/.installed-docs  ## Build the site in docs/_build/html, run what its pages show, check its links
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/python docs/check_links.py docs/_build/html

images: venv  ## Draw the reviewed images of the displays anew, to be looked at
	$(BIN)/python tests/plotting_images.py

nightly: venv  ## Fuzz and stress for hours instead of seconds
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest tests/test_fuzz.py tests/test_fuzz_files.py tests/test_stress.py

mutants: venv  ## Change the code in places drawn at random, and see that the tests notice
	PYTHONPATH=. $(BIN)/python benchmarks/mutants/run.py --sample 60

clean:  ## Remove what the other targets made
	rm -rf $(VENV) build dist docs/_build docs/_generated docs/auto_examples docs/sg_execution_times.rst *.egg-info .coverage .coverage.* .hypothesis .pytest_cache .ruff_cache
