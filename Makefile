# `make bench` runs the comparison, `make test` checks everything, `make gate` holds a slice of the comparison against the
# committed baseline. Each sets up .venv first where need be.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# what starts processes of its own, and all the rest, which takes about as long
PLUGIN_TESTS := $(wildcard tests/test_plugin_*.py tests/test_faults_*.py)

.PHONY: bench gate test test-plugin test-others faults fast wheel clean

bench: $(INSTALLED)
	$(BIN)/python -m pytest benchmarks $(ARGS)

# what can't be told is to be seen, and is no failure: warnings are errors here else
gate: $(INSTALLED)
	$(BIN)/python -m pytest benchmarks --ftbench-suite embedded-gate --benchmark-disable \
		-W default::pytest_ftbench.gate_items.GateWarning $(ARGS)

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(MAKE) --no-print-directory -j2 --output-sync=target test-plugin test-others
endif

# most tests wait for processes they started: two halves side by side take half as long
test-plugin: $(INSTALLED)
	$(BIN)/python -m pytest $(PLUGIN_TESTS)

test-others: $(INSTALLED)
	$(BIN)/python -m pytest $(filter-out $(PLUGIN_TESTS),$(wildcard tests/test_*.py))

# the tests of faults in full: a thousand kills, ten thousand flipped bits; a slice of each is part of `make test`
faults: $(INSTALLED)
	$(BIN)/python -m pytest $(wildcard tests/test_faults_*.py) --faults=long -rP $(ARGS)

# what needs no torch: seconds
fast: $(INSTALLED)
	$(BIN)/python -m pytest -m "not torch" $(ARGS)

wheel: $(INSTALLED)
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf .venv dist

# torch goes first: with it there, nothing else asks for another build of it
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pytest-ftbench needs Python 3.11 or later")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,quantization,nvml,facts,benchmark,html,xdist]' --group dev
	touch $@
