# make train: a first DCGAN on drawn rooms, on this machine, in minutes.   make test: everything the tests check.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

.PHONY: train test lint install clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The same commands a user types; both go on where they were stopped.
train: .venv/installed
	$(BIN)/python jobs/prepare_rooms.py --out $(DEMO)/shards --n 8000 --image-size 32 --val-fraction 0.1
	$(BIN)/python jobs/train_lsun.py --preset demo32 --shards $(DEMO)/shards --storage $(DEMO)/runs

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf .venv build *.egg-info $(DEMO)
