# The two commands of the README: `make run` and `make test`. Both keep their environment in .venv and reuse it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: reference help run test lint types fuzz pins dist deb bundle image-digests acceptance acceptance-wheels acceptance-deb acceptance-bundle acceptance-image acceptance-oidc acceptance-protocol acceptance-axe acceptance-worklist acceptance-chart acceptance-soak screenshots acceptance-cluster acceptance-restore acceptance-upgrade acceptance-hosts reproduce-adults reproduce-children clean
.DEFAULT_GOAL := help

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: $(VENV)/.serve ## start everything on loopback and send sample studies (ARGS=--exit ends when they are tagged)
	@$(BIN)/triage demo $(ARGS)

test: $(VENV)/.dev lint types ## lint, types and every test
	@tests/install_peers.sh
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev ## style, formatting, and what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports .importlinter

reference: $(VENV)/.dev ## renew the generated parts of docs/reference
	$(BIN)/python -m triage.reference docs/reference

# The whole of both is less than three hours on two cores; a second call goes on where the first was ended.
LAB ?= var/lab
OF_LAB = --home $(LAB) --kept $(LAB)/kept
reproduce-adults: $(VENV)/.dev ## train the released adult model anew from TRIAGE_DATA, with the spread over three seeds (LAB=var/lab)
	$(BIN)/python -m training work release-adults $(OF_LAB)
	$(BIN)/python -m training prepare nih-sample --part text --validation 0 --source $(TRIAGE_DATA)/nih-chestxray14 --out $(LAB)/data/nih-text.csv
	cd $(LAB) && $(abspath $(BIN))/python -m export runs/rsna-adult --judge-by runs/rsna-folds -o models/rsna-adult --centre --chests data/nih-text.csv
	$(BIN)/python -m training outcome release-adults rsna-folds rsna-folds-seed-10 rsna-folds-seed-20 $(OF_LAB)

reproduce-children: $(VENV)/.dev ## train the released pediatric model anew from TRIAGE_DATA, with the spread over three seeds (LAB=var/lab)
	$(BIN)/python -m training work release-children $(OF_LAB)
	cd $(LAB) && $(abspath $(BIN))/python -m export runs/pediatric -o models/wcmc-pediatric
	cd $(LAB) && $(abspath $(BIN))/python -m training compare runs/pediatric runs/pediatric-seed-10 --second-too runs/pediatric-seed-20

types: $(VENV)/.dev
	$(BIN)/mypy

SECONDS ?= 600
fuzz: $(VENV)/.dev ## mutated bytes into every way in, guided by coverage (SECONDS=600 for all; corpus in var/fuzz)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3,<4"
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

MINUTES ?= 30
acceptance-soak: $(VENV)/.dev ## the whole service under load, with slopes of memory, descriptors and files (MINUTES=30)
	@tests/install_peers.sh
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

pins: $(VENV)/.dev ## resolve the requirement files anew
	requirements/resolve.sh $(BIN)

dist: $(VENV)/.dev ## build both wheels, code and models, into dist/
	$(BIN)/python -m release wheels --out dist

deb: $(VENV)/.dev ## build the Debian package into dist/ (the wheels of others are kept in build/wheelhouse)
	$(BIN)/python -m release deb --out dist

bundle: $(VENV)/.dev ## build the bundle for machines without a network into dist/ (ARGS="--sign-with KEY")
	$(BIN)/python -m release bundle --out dist $(ARGS)

image-digests: $(VENV)/.dev ## ask the registries for the digests of others' images, for compose (deploy/compose.digests.yaml)
	$(BIN)/python -m release digests $(ARGS)

acceptance: acceptance-wheels acceptance-deb acceptance-bundle acceptance-image acceptance-oidc acceptance-protocol acceptance-axe acceptance-worklist acceptance-chart acceptance-cluster acceptance-restore acceptance-upgrade acceptance-hosts ## what takes too long, or needs too much, for every change (docs/reference/acceptance.md)

acceptance-wheels: $(VENV)/.dev ## the wheels with nothing but their own packages, and twine's check of them
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/wheels.sh

acceptance-deb: $(VENV)/.dev ## the Debian package built, checked, installed, upgraded and purged in a Debian of its own
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/deb.sh

acceptance-bundle: $(VENV)/.dev ## the bundle built twice, signed, checked, and installed and used with the network off
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/bundle.sh

acceptance-image: $(VENV)/.dev ## the image built without a registry, and the stack of compose from it, each process as compose starts it
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/image.sh

acceptance-oidc: $(VENV)/.dev ## sign-in at a real identity provider (npm's oidc-provider), in a browser
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/oidc.sh

acceptance-protocol: $(VENV)/.dev ## a model at a server of the Open Inference Protocol (MLServer on loopback), killed in mid-batch
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/protocol.sh

acceptance-axe: $(VENV)/.dev ## every view of the page by axe's rules of accessibility (npm's axe-core), light and dark, narrow and wide
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/axe.sh

screenshots: $(VENV)/.dev ## make the pictures of the pages in docs/images anew, of drawn chests (needs chromium)
	@tests/install_peers.sh
	$(BIN)/python -m tests.screenshots docs/images

acceptance-worklist: $(VENV)/.dev ## two people at a list of 50,000 studies behind nginx, in two browsers
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/worklist.sh

acceptance-chart: $(VENV)/.dev ## the Helm chart linted, rendered in every form, and held against Kubernetes' schemas (no cluster)
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/chart.sh

acceptance-cluster: $(VENV)/.dev ## the store that hosts share, on PostgreSQL (Debian) and SeaweedFS (PyPI): contract, faults, a move, the service
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/cluster.sh

acceptance-restore: $(VENV)/.dev ## the store that hosts share, restored to a time: PostgreSQL from its WAL, SeaweedFS from its versions
	PATH="$(abspath $(BIN)):$$PATH" tests/acceptance/restore.sh

acceptance-upgrade: $(VENV)/.dev ## a site on the shared store upgraded host by host under load, from the program of an earlier commit (PREVIOUS=)
	PATH="$(abspath $(BIN)):$$PATH" PREVIOUS="$(PREVIOUS)" tests/acceptance/upgrade.sh

acceptance-hosts: $(VENV)/.dev ## three hosts in network namespaces, killed and cut under load (SEED=, STUDIES=2000, EVENTS=)
	PATH="$(abspath $(BIN)):$$PATH" SEED="$(SEED)" STUDIES="$(STUDIES)" EVENTS="$(EVENTS)" tests/acceptance/hosts.sh $(ARGS)

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
