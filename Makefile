# Two commands are all that a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check coverage test-servers test-floors docs picture output bench clean

help: ## Show what can be made.
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(BIN)/regctl: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(BIN)/pytest: $(BIN)/regctl
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

demo: $(BIN)/regctl ## Show the main job on the screen, on the real programs where they can be had.
	tests/servers/install.sh registry
	$(BIN)/python -m demo

check: $(BIN)/pytest ## ruff and mypy.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-servers: $(BIN)/pytest ## Install the real servers that the tests run against.
	tests/servers/install.sh

test: test-servers check ## Everything: servers, ruff, mypy, pytest.
	$(BIN)/python -m pytest

coverage: $(BIN)/pytest ## Run the tests with coverage, which takes longer.
	$(BIN)/python -m pytest --cov --cov-report=term

# The oldest Python and the oldest dependencies that pyproject.toml admits.
FLOORS := .venv-floors
OLDEST ?= $(firstword $(foreach python,python3.10 $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python),\
  $(shell $(python) -c '' 2>/dev/null && echo $(python))) $(PYTHON))

$(FLOORS)/bin/pytest: $(BIN)/pytest
	$(OLDEST) -m venv $(FLOORS)
	$(FLOORS)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python tests/floors.py > $(FLOORS)/constraints.txt
	$(FLOORS)/bin/python -m pip install --quiet --constraint $(FLOORS)/constraints.txt --editable . --group test
	@touch $@

test-floors: $(FLOORS)/bin/pytest ## The tests again with the oldest dependencies.
	$(FLOORS)/bin/python -m pytest -q -m 'not slow'

docs: $(BIN)/pytest ## Write what is generated: the README's commands, completion scripts, docs/readers.md.
	$(BIN)/python -m docs

picture: $(BIN)/pytest ## Draw the README's picture anew, of what regctl prints.
	$(BIN)/python -m docs.picture

output: $(BIN)/pytest ## Write docs/output.md anew, of what every command prints.
	$(BIN)/python -m docs.output

bench: $(BIN)/pytest ## Time regctl beside its peers, and put the table into the README.
	$(BIN)/python -m benchmarks --write README.md

clean: ## Remove what make made.
	rm -rf $(VENV) $(FLOORS) .demo .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
