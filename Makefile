# Two commands: `make quickstart` and `make test`. Both make .venv themselves; nothing is installed by hand.
# Two more run the tests on other hosts, each in an environment of its own (docs/hosts.md): `make test-openmmlab` on
# the original packages with the torch of their day, `make test-newest` on the newest torch of the registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# glibc gives large buffers back to the kernel after every step unless told otherwise; on a CPU that is a third of
# a training run's time. Two threads are what the quickstart was measured with.
export MALLOC_TRIM_THRESHOLD_ := 4294967296
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export OMP_NUM_THREADS ?= 2
# Processes of `make test`, a thread each: most tests are too small for a second thread to help.
TEST_PROCESSES ?= 2

# What the other hosts' runs test, and how: TESTS="tests/models -x" make test-openmmlab
TESTS ?= tests

.PHONY: quickstart test test-openmmlab test-newest lint api docs clean

quickstart: $(VENV)/.installed
	$(BIN)/frozen-det quickstart --work-dir work_dirs/quickstart

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

test-openmmlab: .venv-openmmlab/.installed
	.venv-openmmlab/bin/frozen-det doctor
	OMP_NUM_THREADS=1 .venv-openmmlab/bin/python -m pytest -rs -n $(TEST_PROCESSES) --dist loadfile $(TESTS)

test-newest: .venv-newest/.installed
	.venv-newest/bin/frozen-det doctor
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -rs -n $(TEST_PROCESSES) --dist loadfile $(TESTS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages as a site in work_dirs/docs; a warning is an error. Python 3.11 or newer.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html -c docs/site docs work_dirs/docs
	@echo work_dirs/docs/index.html

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

# docs/api.md, from the docstrings of the public names.
api: $(VENV)/.installed
	$(BIN)/python docs/api_page.py

$(VENV)/.installed: constraints.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	  f"expected Python 3.10 to 3.13, got {v[0]}.{v[1]}: make PYTHON=python3.12 quickstart")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch, mmdet and friends (about 2 GB, a few minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onedl,quickstart,export,test]'
	@touch $@

# torch 2.1.2 has wheels for Python 3.8 to 3.11. The constraints choose torch, numpy and OpenCV of one age.
.venv-openmmlab/.installed: constraints-openmmlab.txt pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 11) else \
	  f"expected Python 3.10 or 3.11, got {v[0]}.{v[1]}: make PYTHON=python3.11 test-openmmlab")'
	$(PYTHON) -m venv .venv-openmmlab
	@echo "installing torch 2.1.2, mmdet 3.3.0 and friends (about 3 GB, a few minutes)"
	.venv-openmmlab/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-openmmlab.txt \
	  -e '.[openmmlab,quickstart,export,test]'
	@touch $@

# Everything as tested, but torch and what comes with it.
.venv-newest/.installed: constraints.txt pyproject.toml setup.py
	$(PYTHON) -m venv .venv-newest
	grep -vE '^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z-]*)==' constraints.txt > .venv-newest/constraints.txt
	@echo "installing the newest torch (about 3 GB, a few minutes)"
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-newest/constraints.txt \
	  -e '.[onedl,quickstart,export,test]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-openmmlab .venv-newest work_dirs data build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
