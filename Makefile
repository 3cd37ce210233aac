# make demo | test | check | bench are the everyday surface; compat tests the adapters against the real DaCapo and
# gunpowder, sanitize the native engine under ASan and UBSan. Each makes its own environment.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check bench compat sanitize

demo: .venv/ready
	$(BIN)/inner-distance-gpu demo --out demo

test: check
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/ready
	$(BIN)/pip install --quiet -c constraints.txt edt
	$(BIN)/python benchmarks/run.py

sanitize: .venv/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/sanitize.sh $(BIN)/python

compat:
	PYTHON=$(PYTHON) tests/compat/setup.sh

# torch first and alone: its pinned build satisfies every later requirement. stardist comes without its
# dependencies, only its example masks are read.
.venv/ready: pyproject.toml constraints.txt CMakeLists.txt $(wildcard kernels/*.*)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt torch scikit-build-core nanobind cmake ninja
	$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation --editable '.[figures,volumes,test]'
	$(BIN)/pip install --quiet -c constraints.txt --no-deps stardist
	touch $@
