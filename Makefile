# Two commands: `make quickstart` and `make test`. Both make .venv themselves; nothing is installed by hand.
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

.PHONY: quickstart test lint clean

quickstart: $(VENV)/.installed
	$(BIN)/frozen-det quickstart --work-dir work_dirs/quickstart

test: $(VENV)/.installed
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

lint: $(VENV)/.installed
	$(BIN)/ruff check .

$(VENV)/.installed: constraints.txt setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	  f"expected Python 3.10 to 3.13, got {v[0]}.{v[1]}: make PYTHON=python3.12 quickstart")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch, mmdet and friends (about 2 GB, a few minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onedl,quickstart,export,test]'
	$(BIN)/python -c 'from frozen_det.mmcv_ops import write_startup_file; write_startup_file()'
	@touch $@

clean:
	rm -rf $(VENV) work_dirs data build *.egg-info .pytest_cache .ruff_cache .hypothesis
