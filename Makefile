# Two commands: `make quickstart` compares two pairs of shipped networks, `make test` checks everything.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test lint docs notebooks wheels core lowest links zoo recorded brain readme clean

quickstart: .venv/.installed
	$(BIN)/causalign quickstart --out runs/quickstart

# One process for each core with one thread: two processes with two threads each are far slower. Compiled modules are
# kept, whatever the environment says, because the tests start many processes.
test: export PYTHONDONTWRITEBYTECODE =
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal --durations 20

lint: .venv/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation, in build/docs: half a minute. A warning is an error, and so is a page that loads something from a
# network, so that the pages can be read offline.
docs: .venv/.installed-docs
	rm -rf docs/reference/generated build/docs
	$(BIN)/python -m sphinx --builder html --doctree-dir build/doctrees --fail-on-warning --keep-going --quiet docs build/docs
	! grep --recursive --files-with-matches --include='*.html' --extended-regexp \
		'<(script|link|img|iframe)[^>]* (src|href)="(https?:)?//' build/docs
	@echo 'Open build/docs/index.html.'

# The outputs of the notebooks, from nothing: some minutes on 2 cores.
notebooks: .venv/.installed-dev
	$(BIN)/python docs/execute_notebooks.py

# Both wheels, and the quickstart from the first in an environment that has nothing else. It fails above 8 MB.
WHEEL_LIMIT := 8000000
wheels: .venv/.installed
	rm -rf dist build/bare
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist . ./zoo
	ls -l dist
	test $$(stat --format %s dist/causalign-*.whl) -le $(WHEEL_LIMIT)
	$(PYTHON) -m venv build/bare
	build/bare/bin/python -m pip install --quiet --constraint constraints.txt dist/causalign-*.whl
	cd build && bare/bin/causalign quickstart --out bare/quickstart
	test -s build/bare/quickstart/pairs.html

# The tests of the core: with another Python (make core PYTHON=python3.13; its torch may be a build for CUDA, of some
# gigabytes), and with the oldest versions of all dependencies but torch.
CORE := $(wildcard $(foreach name,alignment cli maps networks report scores search statistics sweep tasks,tests/test_$(name).py))
CORE_TOOLS := pytest pytest-xdist hypothesis beartype packaging transformers
core:
	$(PYTHON) -m venv --clear build/core
	build/core/bin/python -m pip install --quiet --constraint constraints.txt --editable . --editable ./zoo $(CORE_TOOLS)
	OMP_NUM_THREADS=1 build/core/bin/pytest --numprocesses auto $(CORE)

lowest: .venv/.installed-dev
	$(PYTHON) -m venv --clear build/lowest
	$(BIN)/python tests/lowest_versions.py > build/lowest/versions.txt
	build/lowest/bin/python -m pip install --quiet --constraint build/lowest/versions.txt \
		torch==2.13.0 --editable . --editable ./zoo $(CORE_TOOLS)
	OMP_NUM_THREADS=1 build/lowest/bin/pytest --numprocesses auto --override-ini filterwarnings=default \
		--disable-warnings $(CORE)

# Whether the pages that the documentation links to are there. It needs a network.
links: .venv/.installed-docs
	$(BIN)/python -m sphinx --builder linkcheck --doctree-dir build/doctrees --quiet docs build/links

# All networks of the zoo, trained again from nothing; a training that was stopped goes on. An hour and more on 2 cores.
ZOO := $(foreach seed,0 1 2 3,multi-object/gru/$(seed) multi-object/transformer/$(seed) arithmetic/gru/$(seed)) \
       $(foreach seed,0 1,multi-object/lstm/$(seed) same-object/gru/$(seed) modulo/gru/$(seed) \
                          rounding/gru/$(seed)) in-context/llama/0
zoo: $(ZOO:%=runs/zoo/%/card.json)

runs/zoo/%/card.json: .venv/.installed-dev
	$(BIN)/causalign train $(word 1,$(subst /, ,$*)) $(word 2,$(subst /, ,$*)) --seed $(word 3,$(subst /, ,$*)) \
		--out runs/zoo/$*

# The figure of docs/recordings.md, from nothing: ten minutes and more on 2 cores.
recorded: .venv/.installed
	rm -f docs/images/recorded.json
	$(BIN)/python docs/figures/recorded.py

# The table of docs/recordings.md, from nothing: a quarter of an hour and more on a core.
brain: .venv/.installed-dev
	rm -f docs/figures/simulated_brain.json
	$(BIN)/python docs/figures/simulated_brain.py

# The figures and the table of the quickstart (they need chromium), the table of docs/own-data.md, and the schema of specs.
readme: .venv/.installed-dev
	$(BIN)/python docs/figures/quickstart.py
	$(BIN)/python docs/examples/ioi_scores.py
	$(BIN)/causalign schema > docs/alignment.schema.json

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-dev: .venv/.installed zoo/pyproject.toml
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]' --editable ./zoo
	touch $@

.venv/.installed-docs: .venv/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build docs/reference/generated dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
