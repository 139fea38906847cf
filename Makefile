# Every target sets up .venv if it is missing, or if the lock file or pyproject.toml has changed since the last setup.
SHELL := bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
JOBS ?= auto

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or newer is required, but this is {sys.version.split()[0]}; choose another one: make PYTHON=python3.12 …")'
	@echo "Setting up .venv: $$(grep -c == requirements.lock) packages, about two minutes"
	@$(PYTHON) -m venv .venv
	@if [ -t 1 ]; then every=1; else every=25; fi; \
		$(BIN)/pip install --disable-pip-version-check -r requirements.lock 2>.venv/pip-errors.log \
		| awk -v every=$$every -v total="$$(grep -c == requirements.lock)" ' \
			/^(Collecting|Requirement already)/ && ++n % every == 0 { printf every == 1 ? "\r  package %d of %d" : "  package %d of %d\n", n, total; fflush() } \
			/^Installing/ { printf every == 1 ? "\n  installing\n" : "  installing\n"; fflush() }' \
		|| { cat .venv/pip-errors.log >&2; exit 1; }
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable . 2>>.venv/pip-errors.log \
		|| { cat .venv/pip-errors.log >&2; exit 1; }
	@touch $@

.PHONY: help setup demo chat test test-all lint format lab notebooks book bench gpu faults lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(READY) ## set up .venv only

demo: $(READY) ## from topics to a language model that answers questions, as an HTML report (about five minutes)
	@$(BIN)/minillm demo

chat: $(READY) ## chat with the included 26 M model
	@$(BIN)/minillm chat

test: $(READY) ## run the tests, except the slow ones, and the notebooks of the course
	@$(BIN)/pytest -n $(JOBS) --dist loadfile --nbval tests course

test-all: $(READY) ## run all tests, and the notebooks with and without solutions
	@$(BIN)/pytest -n $(JOBS) --dist loadfile -m "slow or not slow" --nbval tests course solutions

lint: $(READY) ## run ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: $(READY) ## format the code with ruff, and fix what it can fix
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lab: $(READY) ## open JupyterLab at the first notebook of the course
	@$(BIN)/jupyter trust course/*.ipynb > /dev/null # pyLDAvis and widgets show before anything is run
	@$(BIN)/jupyter lab $(firstword $(wildcard course/00_*.ipynb) course)

notebooks: $(READY) ## build outdated notebooks from solutions/*.py (only one: make notebooks NOTEBOOK=07_rmsnorm)
	@$(BIN)/python solutions/build.py $(NOTEBOOK) $(if $(FORCE),--force)

book: $(READY) ## the course and the reference as a website, book/_build/html/index.html, in English and Chinese
	@$(BIN)/python book/build.py $(if $(REPOSITORY),--repository $(REPOSITORY))

# too long, after a run, or not a benchmark
NOT_IN_BENCH := gpu.py gpu_parts.py recipe.py long_context.py stability.py busy.py documents.py honesty.py
bench: $(READY) ## compare with other libraries: tables, and JSON in results/benchmarks/
	@for script in $(filter-out $(addprefix benchmarks/,$(NOT_IN_BENCH)),$(wildcard benchmarks/*.py)); do $(BIN)/python $$script; done

gpu: $(READY) ## on a GPU: the tests that need one, and its speed; results/gpu/DEVICE.json
	$(BIN)/python benchmarks/gpu.py

faults: $(READY) ## over a thousand kills, full disks, damaged and hostile files: a table in results/faults.md (make faults ARGS=--quick)
	@PYTHONPATH=.:tests $(BIN)/python -m faults $(ARGS)

lock: ## resolve the dependencies in pyproject.toml again and rewrite requirements.lock
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/pip install --disable-pip-version-check --quiet "torch==2.13.0" ".[course,test]"
	@{ sed -n '/^#/p' requirements.lock; .venv-lock/bin/pip freeze --all --exclude minillm-lib --exclude pip | sed 's/+cpu$$//'; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock && rm -rf .venv-lock

clean: ## remove .venv and caches
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
