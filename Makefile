# make demo    everything once, on pages made on this machine: install, crawl, curate, tokenize, train
# make test    the whole test suite
# make check   format, lint, types, import directions, and the code blocks of README.md, docs/mixtures.md and docs/tokenizers.md
# make clean   removes the demo's output and caches; .venv stays (make distclean removes it too)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
# for machines without a GPU: TORCH_INDEX=URL of an index of CPU builds (PyTorch's own "Get started" page names it) saves the CUDA libraries
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
EXTRAS := train,test,check,readers
INSTALL_PACKAGE := --config-settings editable_mode=strict -e ".[$(EXTRAS)]"
SOURCES := pipeline stages tokenizers trainer configs

.DELETE_ON_ERROR:
.PHONY: demo test check clean distclean models FORCE

demo: $(VENV)/installed models
	@mkdir -p demo
	@test -f demo/crawl.warc.gz || $(BIN)/gristmill demo-crawl demo/crawl.warc.gz
	$(BIN)/gristmill run demo --input demo/crawl.warc.gz --output demo/run > /dev/null  # the funnel comes at the end
	$(BIN)/gristmill train tiny --set data=demo/run/shards steps=30 schedule.steps=30 --output demo/model
	@echo
	@$(BIN)/gristmill funnel demo/run
	@echo
	@echo "The report, with example documents for each rule:  demo/run/report.html"
	@echo "What the training wrote:                           demo/model/metrics.jsonl"
	@echo
	@echo "Try next (after: . $(BIN)/activate):"
	@echo "  gristmill why demo/run https://archive.example.com/web/2024/why-canals-have-locks"
	@echo "  gristmill sample demo/run --stage gopher_quality -n 5"
	@echo "  gristmill run demo --input demo/crawl.warc.gz --output demo/run --set gopher_quality.min_words=200"
	@echo "  gristmill recipe show demo"

test: $(VENV)/installed models
	$(BIN)/python -m pytest -q

check: $(VENV)/installed models
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy | sed 's|^build/__editable__[^/]*/gristmill/||'
	$(BIN)/lint-imports
	$(BIN)/python tools/run_readme.py README.md docs/mixtures.md docs/tokenizers.md

models: $(VENV)/installed
	@$(BIN)/gristmill models fetch lid.176

# A strict editable install links file by file, so that type checkers find the package in the mapped folders;
# it knows only the files that were there, so it is repeated when one has come or gone. Contents need no reinstall.
$(VENV)/installed: $(VENV)/dependencies $(VENV)/files
	$(PIP) install --quiet --no-deps --no-build-isolation $(INSTALL_PACKAGE)
	@touch $@

# torch first and by itself: what is asked for later must not bring another build of it
$(VENV)/dependencies: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --constraint constraints.txt setuptools wheel
	$(PIP) install --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(PIP) install --constraint constraints.txt $(INSTALL_PACKAGE)
	@touch $@

$(VENV)/files: FORCE | $(VENV)/bin/python
	@find $(SOURCES) -type f -not -path '*/__pycache__/*' -not -name '*.pyc' | LC_ALL=C sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Gristmill needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# build/ holds the links of the editable install, which is therefore made again
clean:
	rm -rf demo build $(VENV)/installed .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

distclean: clean
	rm -rf $(VENV)

FORCE:
