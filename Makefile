# Every target sets up what it needs: a virtual environment in .venv with pinned packages.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
RESULTS := tests/benchmarks/RESULTS.md

.DEFAULT_GOAL := help
.PHONY: help run test differential check codegen check-codegen lint types format snapshots bench soak attack peers docs clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## start a broker on 127.0.0.1:9092 that explains what it does
	$(BIN)/kafka-server start --explain

test: $(READY) ## run every test that this machine can run
	$(BIN)/python -m pytest

differential: $(READY) ## send the same requests to Apache Kafka and to us, compare the answers (needs `make peers`)
	$(BIN)/python -m pytest tests/differential

check: check-codegen lint types test ## everything that CI checks

codegen: $(READY) ## regenerate generated/ from specs/
	$(BIN)/python -m codegen generate

check-codegen: $(READY) ## fail when generated/ is stale, or a served field lacks its text
	$(BIN)/python -m codegen check

lint: $(READY) ## style and layering: ruff, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY) ## mypy --strict
	$(BIN)/mypy

format: $(READY) ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

snapshots: $(READY) ## accept the codecs' present output as the new snapshots
	$(BIN)/python -m pytest tests/codegen tests/generated --snapshot-update

bench: $(READY) peers ## measure everything beside its peers; writes the tables and the plot of README and RESULTS.md
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	$(BIN)/python -m tests.benchmarks.codec --update $(RESULTS)
	$(BIN)/python -m tests.benchmarks.anatomy --update ARCHITECTURE.md
	$(BIN)/python -m tests.benchmarks.broker --update README.md $(RESULTS)
	$(BIN)/python -m tests.benchmarks.scale --update $(RESULTS) --plot tests/benchmarks/scale.svg
	$(BIN)/python -m tests.benchmarks.durability --update $(RESULTS)
	$(BIN)/python -m tests.benchmarks.reads --update $(RESULTS)
	$(BIN)/python -m tests.benchmarks.cores --update $(RESULTS)

soak: $(READY) ## attack a broker for minutes: kills, power cuts where they can be tried, planted bugs
	$(BIN)/python -m tests.crash --size soak
	$(BIN)/python -m tests.crash.prove

attack: $(READY) ## attack a broker for a minute, with some of the planted bugs: what CI does on every change
	$(BIN)/python -m tests.crash --size change
	$(BIN)/python -m tests.crash.prove --rotate 4 --seconds 8

peers: $(READY) ## install the clients of other languages that tests/clients drives, and the fuzzer
	bash .ci/peers.sh

docs: codegen ## regenerate the protocol reference in generated/reference
	@echo "generated/reference/README.md"

clean: ## remove what the targets above made
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
