# make train: a first DCGAN on drawn rooms, on this machine, in minutes.   make test: everything the tests check.
# make check: style, types of the package and its quick tests, before a commit.   make docs: the pages, in site/.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo
YAML := $(shell git ls-files '*.yaml' '*.yml')
# Rooms that need no Ray, no server and no browser, and take seconds.
UNIT := architecture cli data models prepare training

.PHONY: train check package-types unit test style lint docs install clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

# The same commands a user types; both go on where they were stopped.
train: .venv/installed
	$(BIN)/python jobs/prepare_rooms.py --out $(DEMO)/shards --n 8000 --image-size 32 --val-fraction 0.1
	$(BIN)/python jobs/train_lsun.py --preset demo32 --shards $(DEMO)/shards --storage $(DEMO)/runs

style: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/yamllint --strict $(YAML)

lint: style
	$(BIN)/pyright

check: style
	$(MAKE) --jobs 2 package-types unit

package-types:
	$(BIN)/pyright dcgan_dist jobs

unit:
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not gpu and not slow and not cluster" \
		--ignore tests/models/test_authors_arrays.py \
		$(wildcard $(UNIT:%=tests/%) $(UNIT:%=tests/test_%.py))

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

docs: .venv/installed
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build site *.egg-info $(DEMO)
