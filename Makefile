# Needs Python 3.11 or later and make; everything else is installed into .venv.
#   make lab    the course in JupyterLab          make test    all that is checked before a change goes in

VENV ?= .venv
# Set PYTHON to choose the interpreter that .venv is made with.
PYTHON ?=
# As many as there are cores.
WORKERS ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help lab install test lint format unit test-long test-processor test-browser refresh train evaluate release benchmark doctor clean

help:
	@echo "make lab           open the course in JupyterLab"
	@echo "make test          lint, unit tests, and every chapter run and compared"
	@echo "make test-long     the tests that draw their cases, with all of them (some hours)"
	@echo "make test-processor  the numerical tests, held to the instructions of an older processor"
	@echo "make test-browser  chapter 00, the explorers and a report in a real browser (needs Chromium)"
	@echo "make format        put all code into the project's format"
	@echo "make refresh       run the chapters again and store their outputs"
	@echo "make release       make the students' copies of the labs"
	@echo "make train         train every shipped model again"
	@echo "make evaluate      measure the attacks of Table 1 on digits, with a report in build/evaluation"
	@echo "make benchmark     time the attacks beside other libraries, the defenses, and grading"
	@echo "make doctor        what is installed, what is missing, how to get it"
	@echo "make clean         remove build/ and caches"

lab: $(INSTALLED)
	@$(BIN)/advcourse lab

install: $(INSTALLED)

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(INSTALLED)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The workers share the processor: with more than one thread each they would wait for one another at every step.
test unit: export OMP_NUM_THREADS = 1

# One run of pytest over all: unit tests, then every chapter. Its closing line is the last.
test: lint
	@$(PYTEST) -n $(WORKERS) --dist loadfile --durations=60 --durations-min=10 --ignore=tests/browser tests

unit: $(INSTALLED)
	@$(PYTEST) -n $(WORKERS) --dist loadfile --ignore=tests/browser --ignore=tests/chapters tests

# Power tables, fuzzing and the like: `make test` takes a sample of each.
test-long: export ADVCOURSE_LONG = 1
test-long: export OMP_NUM_THREADS = 1
test-long: $(INSTALLED)
	@$(PYTEST) -n $(WORKERS) -m long --ignore=tests/browser tests

# Holds torch, oneDNN and MKL to older instructions, so that they add the same numbers in another order. A test that passes in
# `make test` and fails here asks for digits that rounding decides. tests/test_processor.py proves that all three obey.
PROCESSOR := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=COMPATIBLE

test-processor: export OMP_NUM_THREADS = 1
test-processor: $(INSTALLED)
	@$(PROCESSOR) $(PYTEST) -n $(WORKERS) --dist loadfile -m "numerical and not slow" --ignore=tests/browser --ignore=tests/chapters tests

test-browser: $(INSTALLED)
	@$(PYTEST) tests/browser

refresh: $(INSTALLED)
	@$(BIN)/advcourse refresh

train: $(INSTALLED)
	@$(BIN)/advcourse train

evaluate: $(INSTALLED)
	@$(BIN)/advcourse evaluate --workers $(WORKERS)

release: $(INSTALLED)
	@$(BIN)/advcourse release

benchmark: $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --no-deps --requirement benchmarks/requirements.txt || echo "Some libraries are missing: their rows are left out."
	@$(BIN)/python benchmarks/gradient_attacks.py
	@$(BIN)/python benchmarks/minimum_norm.py
	@$(BIN)/python benchmarks/defenses.py
	@$(BIN)/python benchmarks/grading.py

doctor: $(INSTALLED)
	@$(BIN)/advcourse doctor

clean:
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis

# The stamp is newer than what it was installed from: a second run has nothing to do.
$(INSTALLED): pyproject.toml tests/requirements-peers.txt | $(BIN)/python
	@echo "Installing advcourse into $(VENV). The first time takes some minutes and about 6 GB of disk."
	@if [ -t 1 ]; then quiet=; else quiet=--quiet; fi; \
	$(BIN)/python -m pip install $$quiet --editable ".[dev]" && \
	$(BIN)/python -m pip install $$quiet --no-deps --requirement tests/requirements-peers.txt
	@touch $@

$(BIN)/python:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        "$$python" -m venv $(VENV) && exit 0; \
	        rm -f $(BIN)/python; \
	        echo "'$$python -m venv' failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	    fi; \
	done; \
	echo "Python 3.11 or later was not found (looked for: $(or $(PYTHON),python3.13 python3.12 python3.11 python3))." >&2; \
	echo "Install it, or name it: make lab PYTHON=/path/to/python3" >&2; exit 1
