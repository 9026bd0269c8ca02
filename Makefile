# Two commands: `make quickstart` compares two shipped networks, `make test` checks everything.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test lint zoo clean

quickstart: .venv/.installed
	$(BIN)/causalign quickstart --out runs/quickstart

test: lint
	$(BIN)/pytest

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

zoo: .venv/.installed
	for seed in 0 1; do $(BIN)/causalign train multi-object gru --seed $$seed --out runs/zoo/multi-object/gru/$$seed; done

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
