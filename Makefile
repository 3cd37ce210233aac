# make demo | test | check | bench are the whole surface. Each makes its own environment in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench

demo: .venv/ready
	$(BIN)/inner-distance-gpu demo --out demo

test: check
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/python benchmarks/run.py

# torch first and alone: its pinned build satisfies every later requirement. stardist comes without its
# dependencies, only its example masks are read.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch scikit-build-core
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable '.[figures,volumes,test]'
	$(BIN)/pip install --quiet -c constraints.txt --no-deps stardist
	touch $@
