# Two commands are all that a newcomer needs: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check test-servers clean

help: ## Show what can be made.
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

check: $(BIN)/.installed ## ruff and mypy.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test-servers: $(BIN)/.installed ## Install the real servers that the tests run against.
	tests/servers/install.sh

test: test-servers check ## Everything: servers, ruff, mypy, pytest with coverage.
	$(BIN)/python -m pytest --cov --cov-report=term

clean: ## Remove what make made.
	rm -rf $(VENV) .demo .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
