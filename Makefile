# Every target sets itself up: all it needs is make, and Python 3.10 to 3.13 with venv.
PYTHON ?= python3
VENV ?= .venv
CONFIG ?= configs/baseline_market_small.yaml
ARGS ?=
DEMO ?= demo
BIN = $(VENV)/bin

.PHONY: help setup format check test test-fast docs bench train demo clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## make the virtual environment and install into it

# torch and torchvision must come from one pip call, or they may not fit each other.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

format: setup  ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup  ## format, lint, types, import layers; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# One process per core with one thread each is twice as fast as one process with a thread per core.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

test: setup  ## the test suite, on all cores
	$(PYTEST) $(ARGS)

test-fast: setup  ## the tests that train nothing, to run while writing
	$(PYTEST) -m 'not slow' $(ARGS)

docs: setup  ## build the documentation into build/site
	$(BIN)/mkdocs build --strict

bench: setup  ## throughput of the training loop against the bare network
	$(BIN)/python -m benchmarks.throughput

train: setup  ## main job: make train ROOT=folder [CONFIG=file] [ARGS="--set a.b=c"]
	@test -n "$(ROOT)" || { echo "give the data: make train ROOT=folder-that-holds-Market-1501-v15.09.15"; exit 1; }
	$(BIN)/reid-gen train --config '$(CONFIG)' --set 'data.root=$(ROOT)' $(ARGS)

demo: setup  ## render people, train, evaluate, extract and draw; all of it goes to DEMO=demo
	@test ! -e '$(DEMO)' || { echo "$(DEMO) exists; remove it, or give another one: make demo DEMO=folder"; exit 1; }
	$(BIN)/reid-gen data render pedestrians --preset small --seed 1 --out '$(DEMO)/pedestrians'
	$(BIN)/reid-gen data sheet pedestrians --root '$(DEMO)/pedestrians' --out '$(DEMO)/people.png'
	$(BIN)/reid-gen train --config configs/baseline_pedestrians.yaml --set 'data.root=$(DEMO)/pedestrians' --set 'runs=$(DEMO)/runs'
	$(BIN)/reid-gen evaluate --checkpoint '$(DEMO)/runs/baseline_pedestrians' --rerank --json '$(DEMO)/result.json' --sheet '$(DEMO)/ranked.png'
	$(BIN)/reid-gen extract '$(DEMO)/pedestrians/query' --model '$(DEMO)/runs/baseline_pedestrians' --out '$(DEMO)/features.npz'

clean:  ## remove the virtual environment and caches, never runs/
	rm -rf '$(VENV)' .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
