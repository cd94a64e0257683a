# The two commands of the README: `make run` and `make test`. Both keep their environment in .venv and reuse it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help run test lint types pins clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: $(VENV)/.serve ## start everything on loopback and send sample studies (ARGS=--exit ends when they are tagged)
	@$(BIN)/triage demo $(ARGS)

test: $(VENV)/.dev lint types ## lint, types and every test
	@tests/install_peers.sh
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## style, formatting, and what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports .importlinter

types: $(VENV)/.dev
	$(BIN)/mypy

pins: $(VENV)/.dev ## resolve the requirement files anew
	requirements/resolve.sh $(BIN)

clean: ## remove the environment and what `make run` left
	rm -rf $(VENV) var

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: requirements/serve-cpu.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/serve-cpu.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/torch.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@ $(VENV)/.serve
