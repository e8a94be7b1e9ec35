# Every target sets up what it needs, in .venv. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
ADAPTERS := $(VENV)/.adapters
comma := ,
# $(call install,EXTRAS): this project with these extras into .venv, by uv where it is had, by pip otherwise.
install = uv=$$(command -v uv || true); \
	if [ -z "$$uv" ] && $(BIN)/python -m pip install -q uv; then uv=$(BIN)/uv; fi; \
	{ [ -n "$$uv" ] && "$$uv" pip install -q --python $(BIN)/python -c constraints.txt -e '.[$(1)]'; } || \
	  $(BIN)/python -m pip install -q -c constraints.txt -e '.[$(1)]'
export PATH := $(BIN):$(PATH)
export NO_ALBUMENTATIONS_UPDATE := 1
export DO_NOT_TRACK := 1
export UV_HTTP_TIMEOUT := 300
# Where this is set, each of a run's dozen processes would compile again all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup report floors picture large proofs test test-slow lint format clean constraints chromium

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## build the environment in .venv (uv where it is had, pip otherwise)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Stormglass needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(call install,onnx$(comma)s3$(comma)dev)
	@touch $@

# The libraries of the adapters' own tests: large, and one under the AGPL, so that only these tests bring them.
$(ADAPTERS): $(READY)
	@$(call install,onnx$(comma)rekognition$(comma)s3$(comma)transformers$(comma)ultralytics$(comma)dev) && touch $@ || \
	  echo "Not installed: the tests of transformers and ultralytics are skipped." >&2

report: $(READY) ## make the embedded data set, train, run the benchmark, write reports/robustness.html
	@test -d .git || git init -q .
	dvc repro
	@echo "Report: file://$(CURDIR)/reports/robustness.html"

chromium: $(READY)
	@$(BIN)/python -m tests.chromium

# In the order of the files: those of whole runs and of the browser come first, and none of them is left for the end.
test: $(READY) $(ADAPTERS) chromium ## the default tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: report $(ADAPTERS) chromium ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

floors: report ## what the embedded models must reach, asserted on the report run
	$(BIN)/python -m pytest -m slow tests/test_floors.py

picture: report chromium ## take the README's picture from the report
	$(BIN)/python -m tests.picture reports/robustness.html docs/report.png

# Of the rest the compiler and every adapter on twenty photographs take the longest: `make test-slow`. Noticing a dead scan
# takes minutes, too, but of waiting.
proofs: $(READY) $(ADAPTERS) chromium ## those of the slow tests that take a few minutes together
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n auto --maxprocesses 4 --dist loadfile \
	  tests/benchmarks tests/flows tests/browser/test_access.py tests/browser/test_names.py tests/browser/test_print.py \
	  tests/tasks/corruptions/codec tests/tasks/footage tests/tasks/inference

large: $(READY) chromium ## the page of a large made-up run: its size, its nodes, its long tables
	$(BIN)/python -m pytest -m slow tests/browser/test_large.py

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(READY) ## write the installed versions to constraints.txt
	@{ head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | grep -v '^uv==' | sed 's/ @ .*//'; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove the environment, caches and every output
	rm -rf $(VENV) .stormglass .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	rm -rf data tables models predictions latency realtime scores gallery
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
