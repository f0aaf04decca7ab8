# Two commands do everything on a fresh machine: `make repro` and `make test`. `make` alone lists the rest.
SHELL := /bin/sh
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHON
# compiled once, and not by every stage and test again
unexport PYTHONDONTWRITEBYTECODE

# the stamp names the folder it was made in: a moved checkout is set up again
READY := .venv/.ready
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

.DEFAULT_GOAL := help
.PHONY: help env data repro night voice test test-fast test-docs fuzz kill lint lock licences docs plots

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

env: $(READY) ## build .venv from requirements.lock

$(READY): requirements.lock tools/set_up.sh
	@sh tools/set_up.sh

data: env ## get the sample data out of the store inside the repository, unless data/ is there
	@sh tools/get_sample.sh

# DVC reads data/ before any stage does: it waits for a pipe for ever, and prints the name of a link that leads nowhere
PREFLIGHT := evensong doctor --data >/dev/null

repro: data ## run both tracks, and print the result
	@$(PREFLIGHT)
	dvc repro
	@evensong results

night: data ## run the night track
	@$(PREFLIGHT)
	dvc repro night_report
	@evensong results night

voice: data ## run the voice track
	@$(PREFLIGHT)
	dvc repro voice_report
	@evensong results voice

# a file stays with one process, so that its fixtures are made once, in the order of tests/conftest.py; 16 processes are
# enough on any machine
SPREAD := -n auto --maxprocesses 16 --dist loadfile --no-loadscope-reorder

test: env ## run the tests, on all cores
	pytest $(SPREAD)

test-fast: env ## all tests but the slow ones, with few examples a property, in a minute
	pytest $(SPREAD) --hypothesis-profile fast -m 'not slow and not docs'

test-docs: env ## execute the commands of README and docs/ on a tiny project
	pytest -m docs tests/docs

MINUTES ?= 5
fuzz: env ## damaged files through every reader; MINUTES=120 for longer
	python -m tests.reliability.fuzz --minutes $(MINUTES)

KILLS ?= 300
kill: env ## kill stages at random moments, an hour; KILLS=20 for a look
	python -m tests.reliability.kill --kills $(KILLS)

lint: env ## style, types
	ruff check .
	ruff format --check .
	mypy

lock: env ## resolve pyproject.toml into requirements.lock anew
	uv pip compile --quiet --universal --generate-hashes --extra dev --no-header --no-annotate \
		pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		requirements-docs.in --output-file requirements-docs.lock

licences: env ## write docs/licences.md: what the locked packages say of themselves
	python tools/list_licences.py

# the site and the plots page have an environment of their own, so that the pipeline's does not grow
READY_DOCS := .venv-docs/.ready

$(READY_DOCS): requirements-docs.lock | env
	uv venv --quiet --clear --python .venv/bin/python .venv-docs
	uv pip sync --quiet --python .venv-docs/bin/python requirements-docs.lock
	touch $@

docs: $(READY_DOCS) ## build site/, the documentation to open from the disk: site/index.html
	python tools/list_parameters.py
	python tools/site.py .state/site
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

plots: $(READY_DOCS) ## write the page of dvc plots show, to open without a network: dvc_plots/index.html
	.venv-docs/bin/python tools/offline_plots.py
	dvc config --local plots.html_template tmp/plots_page.html
	dvc plots show
