# make demo | test | quick | check | bench are the everyday surface, and demo installs less than the others; compat tests
# the adapters against the real DaCapo and gunpowder, sanitize the native engine under ASan and UBSan and then under TSan,
# fuzz looks for inputs that break it, torch-ends runs the tests that torch decides with the oldest and the newest torch,
# race runs the CUDA kernels under a race detector on the host, faults plants faults and sees which tests catch them, dist
# builds and tries the packages, docs builds the site and serve shows it. Each makes its own environment.
PYTHON ?= python3
BIN := .venv/bin
# Python keeps what it compiles of a module when it is first imported. Images of containers often forbid that, and then
# each of some hundred processes that the tests start would compile torch anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test quick check bench docs serve compat sanitize fuzz race faults dist torch-ends FORCE

demo: .venv/demo
	$(BIN)/inner-distance-gpu demo --out demo

# Twice: as the machine is, and as on one with a GPU, whose kernels then run on the host. The files left out the second
# time ask for no engine but `cpu` and `reference`, bring the kernels on the host themselves, or ask a program whose
# answer no engine changes about terminals, names, signals and processes; new files are in.
ALIKE := benchmarks block_grid brute_force chunk_codec counts cpu_bits cpu_codes cpu_engine cpu_envelope cpu_indices \
	cpu_threads cucim_limits cupy_order device_cache device_classes device_compiler device_kernels device_launch device_limits \
	device_packed device_weights distance_mask documentation earlier_objects fault_list file_systems fuzz golden \
	gpu gpu_streams imports keyed kills label_traps leftovers levels levels_cli levels_errors levels_resume loader \
	loader_in_one_process loader_like_a_dataloader loader_scripts loader_state loader_streams memory_layouts \
	no_site ome_parts open_labels packaging precedence quoted_numbers ranks remote_labels scale scale_per_class \
	self_test site spatial suite_itself surroundings target_layouts targets tiff_places tutorial volume_cluster \
	volume_cluster_ends volume_errors volume_forks volume_labels volume_metadata volume_ome volume_ownership \
	volume_resume volume_signals volume_sources zarr
# One more than there are cores: some tests wait, for a process that ends or a server that does not answer.
PROCESSES ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
# Tests of one file stay in one process while there is work for all: what a file compiles is compiled once.
PYTEST := $(BIN)/pytest -n $(PROCESSES) --dist worksteal
test: check
	$(PYTEST)
	$(PYTEST) --engines-on-host --ignore=tests/kernels/race $(ALIKE:%=--ignore-glob=*/test_%.py)

# For the edit-run loop: those files of which each test is fast. No file that starts processes or compiles for devices.
SLOW := benchmarks blockwise blockwise_classes chunk_codec classes cli cli_classes counts_threads cpu_bits cpu_engine \
	cpu_envelope cpu_indices cpu_threads demo_and_figures device_classes device_compiler device_kernels device_packed \
	device_weights distance_family documentation driver earlier_objects every_keyword file_systems gpu gpu_streams \
	imports kills label_traps leftovers levels levels_cli levels_errors levels_resume loader loader_like_a_dataloader \
	loader_scripts ome_parts open_labels operators operators_classes packaging precedence quoted_numbers ranks \
	remote_labels scale_per_class self_test self_test_runs site suite_itself surroundings target_layouts targets \
	tiff_places tutorial volume_cli volume_cluster volume_cluster_ends volume_errors volume_forks volume_labels \
	volume_ownership volume_resume volume_signals volume_sources \
	volume_write workers zarr
quick: .venv/ready
	$(BIN)/ruff check --quiet .
	$(PYTEST) -q --ignore=tests/kernels/race $(SLOW:%=--ignore-glob=*/test_%.py)

# C++ and CUDA, laid out by .clang-format
CPP = $(shell find kernels tests -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh')
check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIN)/python tests/code_size.py

# ARGS: --quick, --suite cpu|gpu|train|volume|classes and what else benchmarks/run.py takes
bench: .venv/peers
	$(BIN)/python benchmarks/run.py $(ARGS)

# Most of the peers come without their dependencies, so that none replaces what is pinned; what they import is there.
.venv/peers: .venv/ready
	$(BIN)/pip install --quiet -c constraints.txt edt numba
	$(BIN)/pip install --quiet -c constraints.txt --no-deps monai torch-distmap pyedt dacapo-toolbox jitfields
	touch $@

# The theme would print a page about another version of MkDocs.
docs serve: export NO_MKDOCS_2_WARNING=1
docs: .venv/ready
	$(BIN)/mkdocs build --strict
	@echo "build/site/index.html. Searching needs a server: make serve, then http://127.0.0.1:8000"

serve: .venv/ready
	$(BIN)/mkdocs serve

sanitize: .venv/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/sanitize.sh $(BIN)/python address
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/sanitize.sh $(BIN)/python thread

SECONDS ?= 60
fuzz: .venv/ready
	$(BIN)/pip install --quiet atheris==3.0.0
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/fuzz/run.sh $(BIN)/python $(SECONDS)

# CALLS random calls of every CUDA kernel under the race detector; kernels and their ways end up in race.md
CALLS ?= 2000
race: .venv/ready
	RACE_CALLS=$(CALLS) RACE_REPORT=$(CURDIR)/race.md $(BIN)/pytest tests/kernels/race

# The oldest torch that pyproject.toml accepts and the newest, as the package index has them, and the installed wheel.
TORCH_ENDS := 2.6.0 2.14.1
ENDS_TESTS := operators loader loader_streams counts transform workers types_and_layouts keyed engines predictor ranks
torch-ends: $(TORCH_ENDS:%=build/torch-%)
	rm -rf build/ends && mkdir -p build/ends
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip wheel --quiet --no-deps --no-build-isolation -w build/ends .
	cp -r tests pyproject.toml README.md docs Makefile kernels benchmarks CMakeLists.txt constraints.txt build/ends
	failed=; for version in $(TORCH_ENDS); do python=$(CURDIR)/build/torch-$$version/bin/python; \
		$$python -m pip install --quiet --no-deps --force-reinstall build/ends/*.whl && \
		(cd build/ends && PYTHONPATH=tests $$python -m pytest -q -n $(PROCESSES) $(foreach name,$(ENDS_TESTS),$$(find tests -name test_$(name).py))) || \
		failed="$$failed $$version"; done; test -z "$$failed"

build/torch-%: pyproject.toml .venv/ready
	$(PYTHON) -m venv $@
	grep -v '^torch==' constraints.txt > $@/constraints.txt
	$@/bin/pip install --quiet -c $@/constraints.txt torch==$* scipy funlib.geometry typer rich pytest hypothesis \
		pytest-xdist ml_dtypes 'dask[array]' distributed zarr tifffile matplotlib jsonschema
	touch $@

faults: .venv/ready
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/faults.py

# PYTHONS: what to build wheels for, as far as they are there
PYTHONS ?= $(PYTHON)
dist:
	tests/dist.sh $(PYTHONS)

compat:
	PYTHON=$(PYTHON) tests/compat/setup.sh

# What the demo needs and no more, so that a first picture does not wait for the tests' packages. It is also what a user
# of the package installs. The compiler's tools (CMake, ninja, nanobind) lie in a folder of pip's that is gone afterwards.
# Nothing is compiled to bytecode in advance: that takes half a minute and a quarter of the disk, for modules of which
# most are never imported. pip is not quiet: it shows how far a download has come.
# torch first and alone: its pinned build satisfies every later requirement. On Linux the default package index has it
# built with CUDA 13, which a driver for 12.x does not run: there, point pip at an index of torch for CUDA 12
# (PIP_EXTRA_INDEX_URL, see https://pytorch.org/get-started/locally), or demo says so and runs on the CPU. Then torch
# and the driver decide between cuda12 and cuda13. Where index or driver have changed, what is installed would satisfy
# pip and has to go. stardist comes without its dependencies, only its example masks are read.
DEMO_PIP := PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install --no-compile
.venv/demo: pyproject.toml constraints.txt CMakeLists.txt $(wildcard kernels/*.* kernels/cpu/*.*) build/asked
	@echo "Making an environment in .venv, in three steps: about 100 seconds of one core, 300 MB to download and 1.1 GB of disk"
	@echo "with a torch for the CPU, several GB more with one that is built with CUDA. To remove it: rm -rf .venv build"
	$(PYTHON) -m venv $(if $(filter build/asked,$?),--clear) .venv
	@echo "[1/3] torch: most of the download and of the disk"
	$(DEMO_PIP) torch
	@echo "[2/3] this package, with matplotlib for pictures: compiles the CPU engine, about a minute of one core"
	extra=$$($(BIN)/python inner_distance_gpu/engines/cuda/driver.py) && \
	$(DEMO_PIP) $$(test -e .venv/ready && echo --no-build-isolation) --editable ".[figures$${extra:+,$$extra}]" tifffile
	@echo "[3/3] the example masks"
	$(DEMO_PIP) --no-deps stardist
	touch $@

# The rest that tests, checks and documentation need, build tools too. The package is installed already, so pip adds only
# what its extras name, and compiles nothing again. Without a driver `nvrtc` compiles the kernels for the tests.
.venv/ready: .venv/demo
	extra=$$($(BIN)/python inner_distance_gpu/engines/cuda/driver.py 2>/dev/null) && \
	$(BIN)/pip install --quiet -c constraints.txt scikit-build-core nanobind cmake ninja \
		"inner_distance_gpu[docs,figures,volumes,test,$${extra:-nvrtc}]"
	touch $@

# Changes only when pip's indices or the driver do. A checksum, as an index may have a password in it.
build/asked: FORCE
	@mkdir -p build
	@{ printf '%s\n' "$$PIP_INDEX_URL" "$$PIP_EXTRA_INDEX_URL" && $(PYTHON) inner_distance_gpu/engines/cuda/driver.py --driver; } \
		| cksum > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

FORCE:
