# make help lists the targets. All of them work on a bare machine with Python >= 3.10 and a C++17
# compiler, and again afterwards.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# MMCV comes as source; without debug information its build takes minutes, once, and pip keeps it.
MMCV_BUILD := CFLAGS="-g0 -O2" MAX_JOBS=$(shell nproc)
TORCH ?= torch==2.13.0
# tests/conftest.py says which tests stay in one process, which makes their shared runs once, and
# which start first; pytest-xdist would start the files with few tests last, however long they take.
WORKERS ?= -n $(shell nproc) --dist loadgroup --no-loadscope-reorder
export NO_ALBUMENTATIONS_UPDATE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Images of containers often set this variable: every process of the tests would compile nbseg anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast sanitize setup lint clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: setup  ## set up .venv and run the whole method on a generated set
	$(BIN)/python tools/prepare_data.py shapes --out data/shapes --train 1000
	$(BIN)/python tools/train.py configs/shapes/demo.py --work-dir work_dirs/demo --resume --jobs 2

test: setup  ## set up .venv and run all tests, one process a core
	$(BIN)/python -m pytest $(WORKERS)

test-fast: setup  ## run the tests that take seconds
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

sanitize: setup  ## run the C++ tests with the sanitizers of addresses, undefined behavior, threads
	PATH="$(CURDIR)/$(BIN):$$PATH"; for preset in sanitize thread-sanitize; do \
	  cmake --preset $$preset && cmake --build --preset $$preset && ctest --preset $$preset \
	  || exit 1; done

lint: setup  ## check style, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(shell git ls-files '*.cpp' '*.h' '*.cu')
	$(BIN)/codespell
	$(BIN)/mypy

setup: $(VENV)/.compiler $(VENV)/.packages $(VENV)/.native  ## set up .venv

$(VENV)/.compiler:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "nbseg needs Python 3.10 or newer; make PYTHON=/path/to/python3.11"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || { echo "nbseg needs a C++17 compiler and found none;" \
	  "install one (Debian/Ubuntu: apt install g++) or name it in CXX"; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; open(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' \
	  2>/dev/null || { echo "nbseg needs Python's headers; install them (Debian/Ubuntu: apt install" \
	  "python3-dev)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first: MMCV and nbseg are built against it, without pip's isolated environments.
$(VENV)/.packages: $(VENV)/.compiler pyproject.toml
	$(BIN)/pip install "setuptools>=77,<81" wheel cmake ninja numpy pybind11 "$(TORCH)"
	$(MMCV_BUILD) $(BIN)/pip install --no-build-isolation onedl-mmcv==2.3.6
	$(BIN)/python tools/extras.py train cityscapes export deploy microscopy test dev | $(BIN)/pip install --no-build-isolation -r /dev/stdin
	@# MMDetection brings the OpenCV that needs a display's libraries; the headless one takes its place.
	$(BIN)/pip uninstall -q -y opencv-python
	$(BIN)/pip install --force-reinstall --no-deps opencv-python-headless==4.12.0.88
	@touch $@

$(VENV)/.native: $(VENV)/.packages setup.py CMakeLists.txt $(shell find csrc -type f)
	$(BIN)/pip install --no-build-isolation --no-deps -e .
	@touch $@

clean:  ## remove .venv and what was built
	rm -rf $(VENV) build nbseg/*.so *.egg-info
