# Boatyard. `make help` lists the targets; the first one that needs .venv makes it.

PYTHON ?= python3
# pinned: the torch of requirements.txt · own: the one that .venv already sees (a GPU image's, a CPU-only build)
TORCH ?= pinned
# The browser of the browser tests. Debian's is installed if it is missing.
DEBIANS := /usr/bin/chromium
CHROMIUM ?= $(DEBIANS)

VENV := .venv
BIN := $(VENV)/bin
# The first is touched when an install has succeeded; the second exists during an install, and after an aborted one.
INSTALLED := $(VENV)/installed
INSTALLING := $(VENV)/installing

# pip-audit's own environment: nothing else needs its packages.
AUDIT := .work/audit
# How many processes `make test` shares the tests among. Each takes up to 3 GB of memory.
JOBS ?= 2
# How long `make fuzz` draws examples.
MINUTES ?= 5

# The stages run `python stages/<name>.py`, and DVC's queue calls `dvc`: both must be .venv's.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help repro presets test test-slow test-browser test-remotes test-all fuzz check audit lock
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

repro: $(INSTALLED)  ## run what changed of the pipeline, from the photos to report/index.html
	@command -v git > /dev/null || { echo "error: git is missing, and Boatyard needs it: install it" >&2; exit 2; }
	@git rev-parse --git-dir > /dev/null 2>&1 || { \
	  echo "error: this folder is not in a git repository, which DVC needs: clone it, or run 'git init' here" >&2; exit 2; }
	@$(BIN)/python -m dvc repro
	@echo "The report: $(CURDIR)/report/index.html"

presets: $(INSTALLED)  ## bring keys and comments of presets/ and params.yaml up to date with the schema
	@$(BIN)/python -m boatyard.params.write presets/*.yaml presets/*/*.yaml params.yaml

test: check  ## check, then the unit tests, one run of the whole pipeline on drawn photos and what depends on it
	@$(BIN)/python -m pytest --numprocesses $(JOBS)

test-slow: $(INSTALLED)  ## the tests that `make test` leaves out: every backbone family, reruns, kills, full disks
	@$(BIN)/python -m pytest -m 'slow and not remotes'

test-browser: $(INSTALLED) $(CHROMIUM)  ## the web page of `boatyard serve` in a headless Chromium
	@CHROMIUM=$(CHROMIUM) $(BIN)/python -m pytest tests/browser

test-remotes: $(INSTALLED)  ## push and pull over SSH, WebDAV and S3, on servers of this machine (Debian; installs them)
	@$(BIN)/python tests/remotes/packages.py
	@$(BIN)/python -m pytest -m remotes

test-all: test test-slow test-browser test-remotes  ## all tests

fuzz: $(INSTALLED)  ## the property tests on new random data, for MINUTES=5 or until one fails
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); while [ $$(date +%s) -lt $$end ]; do \
	  $(BIN)/python -m pytest --exitfirst -m hypothesis --hypothesis-profile fuzz || exit 1; done

check: $(INSTALLED)  ## lint, format and types
	@$(BIN)/python -m ruff check
	@$(BIN)/python -m ruff format --check
	@$(BIN)/python -m mypy

audit: $(AUDIT)/installed  ## known vulnerabilities of the pinned packages (asks PyPI)
	@$(AUDIT)/bin/python .ci/audit.py requirements.txt .ci/audit-requirements.txt

$(AUDIT)/installed: .ci/audit-requirements.txt
	@rm -rf $(AUDIT) && $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
lock:  ## update the pins of requirements.txt and .ci/audit-requirements.txt from pyproject.toml (needs uv)
	$(LOCK) --extra dev pyproject.toml --output-file requirements.txt
	$(LOCK) --group audit --output-file .ci/audit-requirements.txt

$(INSTALLED): requirements.txt pyproject.toml
ifeq ($(filter pinned own,$(TORCH)),)
	$(error TORCH is '$(TORCH)': choose pinned or own)
endif
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Boatyard needs Python 3.11 or newer, and '$(PYTHON)' is older or missing: name another, as in" \
	    "'make PYTHON=python3.12 $(MAKECMDGOALS)'" >&2; exit 2; }
	@if [ -e $(INSTALLING) ]; then rm -rf $(VENV); fi
ifeq ($(TORCH),own)
	@[ -e $(BIN)/python ] || { \
	  echo "error: TORCH=own, but $(VENV) is missing: create it first, with torch and torchvision (see README.md)" >&2; exit 2; }
	@echo "Installing into $(VENV), all but torch"
	@awk '/^[^ ]/ { torch = /^(torch|torchvision|triton|nvidia-.*|cuda-.*)==/ } !torch' requirements.txt > $(VENV)/requirements.txt
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r $(VENV)/requirements.txt
	@$(BIN)/python -c 'import torch, torchvision' || { \
	  echo "error: TORCH=own, but the torch or torchvision of $(VENV) is missing or broken (see above)" >&2; exit 2; }
else
	@[ -e $(BIN)/python ] || { mkdir -p $(VENV) && touch $(INSTALLING) && $(PYTHON) -m venv $(VENV); }
	@touch $(INSTALLING)
	@echo "Installing into $(VENV): a few minutes, 6 GB"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
endif
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@rm -f $(INSTALLING) && touch $@

$(CHROMIUM):
	@as=; [ "$$(id -u)" = 0 ] || as='sudo -n'; \
	  { [ $@ = $(DEBIANS) ] && command -v apt-get && $$as true; } > /dev/null 2>&1 || { \
	    echo "error: the browser tests need Chromium, and '$@' is missing: 'sudo apt-get install chromium', or name" \
	      "yours, as in 'make test-browser CHROMIUM=/usr/bin/google-chrome'" >&2; exit 2; }; \
	  echo "Installing Debian's chromium"; \
	  $$as apt-get -qq update && \
	  $$as env DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install chromium > /dev/null
