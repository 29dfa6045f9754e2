# SPDX-License-Identifier: Apache-2.0
#
# Every target prepares what it needs by itself, in .venv and .cache of this checkout, of what is
# locked in requirements.

PYTHON ?= python3
# On two processors: half of what the tests do is waiting.
WORKERS ?= 6
ARGS ?=

BIN := .venv/bin
BOOTSTRAP := $(PYTHON) tools/bootstrap.py
PARALLEL := $(if $(filter-out 0,$(WORKERS)),--numprocesses=$(WORKERS) --dist=loadgroup)
PYTEST := $(BIN)/pytest $(PARALLEL)

# What is compiled once serves all workers, and the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-vm demo-ovn test lint static docs pages prefetch prefetched unit pytest test-lab test-browser test-newest test-oldest bench bench-ovn coverage \
    lock clean

help:  ## list the targets
	@echo "make TARGET, where TARGET is one of"
	@sed -nE 's/^([a-z-]+):.*  ## (.*)/  \1\t\2/p' Makefile | expand -t 14
	@echo "Variables: PYTHON=python3.12 another Python; WORKERS=0 tests in one process;"
	@echo "           ARGS=\"-k bridge\" more arguments for pytest, the demo or the benchmark"

demo:  ## guests on bridges: plugged, broken, repaired, led outside (fetches up to 35 MB the first time)
	@$(BOOTSTRAP)
	@$(BIN)/python -m tests.demo $(ARGS)

demo-vm:  ## a real guest in QEMU: booted, pinged, hot-plugged (fetches 130 MB of Debian's the first time)
	@$(BOOTSTRAP) test
	@$(BIN)/python -m tests.lab.demo

demo-ovn:  ## two hosts with a real OVN, a guest that moves under pings (fetches 60 MB of Debian's the first time)
	@$(BOOTSTRAP) test
	@$(BIN)/python -m tests.demo_ovn

test:  ## everything CI checks: style, types, imports, documentation, all tests
	@$(BOOTSTRAP) --system test test lint docs
	@# Side by side: many tests, those that begin above all, do no more than wait.
	@$(MAKE) --no-print-directory --jobs=3 --keep-going --output-sync=target \
	    static docs prefetched

prefetched: prefetch
	@$(MAKE) --no-print-directory --output-sync=none pytest

prefetch:
	@$(BOOTSTRAP) test
	@$(BIN)/python -m tests.prefetch

pytest:  ## all tests; ARGS="tests/functional -k vlan" chooses
	@$(BOOTSTRAP) --system test test
	$(PYTEST) $(ARGS)

unit:  ## the tests that need nothing of the host
	@$(BOOTSTRAP) test
	$(PYTEST) tests/unit $(ARGS)

lint: static  ## style, types and the rules of the house

static:
	@$(BOOTSTRAP) lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --cache-dir .cache/import_linter

docs:  ## the documentation, in docs/_build/html; a warning is an error
	@$(BOOTSTRAP) docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs docs/_build/html

test-lab:  ## the tests in guests with Debian's own kernel, those of libvirt, several hosts with OVN, and the long ones
	@$(BOOTSTRAP) --system test test
	$(BIN)/python -m tests.lab.runner $(ARGS)
	$(if $(ARGS),,$(BIN)/pytest -m "qemu or hosts" tests/functional tests/clients)
	$(if $(ARGS),,$(BIN)/python -m tests.prefetch long)
	$(if $(ARGS),,$(PYTEST) -m long)

test-browser:  ## the pages in Chromium, as on a desk and on a phone
	@$(BOOTSTRAP) --system browser test docs
	$(BIN)/pytest -m browser tests/browser $(ARGS)

test-newest:  ## the tests with the newest of everything, in .cache/newest; not in CI
test-oldest:  ## the same with the oldest that pyproject.toml allows, in .cache/oldest
test-newest test-oldest:
	@$(BOOTSTRAP) --system test test
	@$(BIN)/python tools/bounds.py $(@:test-%=%)
	@# Old libraries warn of what has changed since.
	$(@:test-%=.cache/%)/bin/pytest --ignore=tests/clients $(PARALLEL) \
	    $(if $(filter %-oldest,$@),-W ignore) $(ARGS)

pages:  ## what pages say of the code, written anew: help, fields, options, examples
	@$(BOOTSTRAP) docs
	$(BIN)/python tools/pages.py

bench:  ## measure plug and unplug against os-vif 4 and 5, CNI, ip, libvirt and the floor (12 minutes)
	@$(BOOTSTRAP) --system bench test
	@$(BIN)/python -m benchmarks $(ARGS)

bench-ovn:  ## measure ports in OVN's Northbound database against ovsdbapp, ovn-nbctl and the floor (3 minutes)
	@$(BOOTSTRAP) --system bench test
	@$(BIN)/python -m benchmarks.northbound $(ARGS)

coverage:  ## all tests, and which lines they do not reach; pages in .cache/coverage/html
	@$(BOOTSTRAP) --system test test
	@install -d -m 1777 .cache/coverage  # tests start processes of other users; they report too
	$(PYTEST) --cov --cov-report=term --cov-report=html $(ARGS)

lock:  ## renew requirements: the newest versions that pyproject.toml allows, with their hashes
	-@$(BOOTSTRAP) test  # what is locked may be gone from the index: then PATH's uv will do
	@$(BIN)/python tools/lock.py $(ARGS)

clean:  ## remove .venv and everything made by these targets
	rm -rf .venv .cache build dist docs/_build *.egg-info .hypothesis
	find os_vif vif_plug_ovs vif_plug_linux_bridge tests tools benchmarks docs examples \
	    -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
