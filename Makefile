# A newcomer needs two commands: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many tests run at once, each with servers of its own; 0 is one after the other.
WORKERS ?= auto
PYTEST := -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile

.PHONY: help demo test check coverage test-servers test-oldest test-kubelet test-floors docs picture \
  output bench clean

help: ## List the targets.
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(BIN)/regctl: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(BIN)/pytest: $(BIN)/regctl
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

demo: $(BIN)/regctl ## Show the main job on the screen; YES=1 gets the real programs without a question.
	$(BIN)/python -m tests.servers.install $(if $(YES),,--ask) registry etcd kube-apiserver
	$(BIN)/python -m demo

check: $(BIN)/pytest ## Run ruff and mypy.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-servers: $(BIN)/pytest ## Install the real servers that the tests run against.
	$(BIN)/python -m tests.servers.install

test: test-servers check ## Install the servers, then run ruff, mypy and every test.
	$(BIN)/python $(PYTEST) -m 'not kubelet'

# The tests that talk to a server, against the oldest versions that regctl supports. The slow ones do
# not depend on a version.
test-oldest: export REGCTL_TEST_SERVERS := oldest
test-oldest: test-servers ## Run the tests against the oldest supported servers, on Debian 12.
	$(BIN)/python $(PYTEST) -q -m 'not kubelet and not slow'

test-kubelet: test-servers ## Run the tests with a real kubelet, as root on Linux.
	$(BIN)/python -m pytest -m kubelet

coverage: $(BIN)/pytest ## Run the tests with coverage, which takes longer.
	$(BIN)/python $(PYTEST) -m 'not kubelet' --cov --cov-report=term

# The oldest Python and the oldest dependencies that pyproject.toml allows.
FLOORS := .venv-floors
OLDEST ?= $(firstword $(foreach python,python3.10 $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python),\
  $(shell $(python) -c '' 2>/dev/null && echo $(python))) $(PYTHON))

$(FLOORS)/bin/pytest: $(BIN)/pytest
	$(OLDEST) -m venv $(FLOORS)
	$(FLOORS)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python tests/floors.py > $(FLOORS)/constraints.txt
	$(FLOORS)/bin/python -m pip install --quiet --constraint $(FLOORS)/constraints.txt --editable . --group test
	@touch $@

test-floors: $(FLOORS)/bin/pytest ## Run the tests with the oldest Python and dependencies.
	$(FLOORS)/bin/python $(PYTEST) -q -m 'not slow and not kubelet'

docs: $(BIN)/pytest ## Write the generated docs/commands.md and docs/readers.md.
	$(BIN)/python -m docs

picture: $(BIN)/pytest ## Draw the README's picture from what regctl prints.
	$(BIN)/python -m docs.picture

output: $(BIN)/pytest ## Write docs/output.md from what every command prints.
	$(BIN)/python -m docs.output

bench: $(BIN)/pytest ## Time regctl beside its peers, and write docs/benchmarks.md.
	$(BIN)/python -m benchmarks --write docs/benchmarks.md

clean: ## Remove everything that make created.
	rm -rf $(VENV) $(FLOORS) .demo .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
