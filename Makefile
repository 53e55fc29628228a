# Needs make and a Python 3.11 or newer with venv; everything else goes into the virtual environment .venv.

PYTHON :=
VENV := .venv
BIN := $(VENV)/bin
# Errors only: what pip and setuptools warn of is nothing a reader here can act on.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq
# pip's advice is nobody's concern while all goes well.
QUIETLY := >$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }

# What an environment was made of. A stamp older than one of these is refreshed.
RECIPE := pyproject.toml setup.cfg

.DEFAULT_GOAL := help
.PHONY: help demo test check simulate chaos bench bench-quick bench-peers wheel clean

help:
	@echo "make demo     make thumbnails of a few photos; BROKER=redis://localhost PHOTOS=folder to use yours"
	@echo "make test     run the tests; ARGS='tests/unit -k retry' to choose"
	@echo "make check    lint, formatting, types, house rules, packaging"
	@echo "make simulate 10,000 simulated days of workers, clients and a faulty network; SEEDS=500 for fewer"
	@echo "make chaos    ten minutes of killed workers and broken networks; ARGS='--jobs 1000000 --faults 1500 --seconds 5400' for more"
	@echo "make bench    measure beside the floor and the peers (30 minutes), write benchmarks/RESULTS.md; bench-quick: 2 minutes"
	@echo "make wheel    build dist/*.whl"
	@echo "make clean    remove $(VENV), caches and what was built"

# Make hands BROKER and PHOTOS on in the environment; as $$BROKER no character in them is special.
demo: $(VENV)/.demo
	@$(BIN)/python examples/photos/demo.py $${BROKER:+--broker "$$BROKER"} $${PHOTOS:+--photos "$$PHOTOS"}

test: $(VENV)/.dev
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev
	@BIN=$(BIN) bash .ci/check

simulate: $(VENV)/.dev
	@$(BIN)/python -m taskforge.testing.simulation --seeds $(or $(SEEDS),10000)

# ARGS sets its size and its seed: make chaos ARGS='--help'.
chaos: $(VENV)/.dev
	@$(BIN)/python -m tests.faults.chaos $(ARGS)

# ARGS chooses: make bench ARGS='--only enqueue --peers none'. With ARGS nothing is written unless --write says where.
bench: $(VENV)/.bench
	@$(if $(findstring --peers none,$(ARGS)),:,$(MAKE) -s bench-peers || echo "Measuring without what could not be made")
	@$(BIN)/python -m benchmarks $(or $(ARGS),--write benchmarks/RESULTS.md)

bench-quick: $(VENV)/.bench
	@$(BIN)/python -m benchmarks --quick --peers none $(ARGS)

# One environment per peer under benchmarks/.env, each made anew only when its pinned versions change.
bench-peers: $(VENV)/.made
	@$(BIN)/python -m benchmarks.harness.making $(PEERS)

wheel: $(VENV)/.dev
	@rm -rf build dist
	@$(BIN)/python -m build --wheel . >$(VENV)/wheel.log 2>&1 || { cat $(VENV)/wheel.log; exit 1; }
	@rm -rf build
	@ls dist/*.whl

clean:
	rm -rf $(VENV) benchmarks/.env build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.demo: $(VENV)/.made $(RECIPE)
	@echo "Installing taskforge and the demo's libraries into $(VENV)"
	@$(PIP) --editable '.[demo,fast]' $(QUIETLY)
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(RECIPE)
	@echo "Installing taskforge and its development tools into $(VENV)"
	@$(PIP) --editable . --group dev $(QUIETLY)
	@touch $@

$(VENV)/.bench: $(VENV)/.dev $(RECIPE)
	@echo "Installing what speeds taskforge up into $(VENV)"
	@$(PIP) --editable '.[fast]' $(QUIETLY)
	@touch $@

# An environment that works is kept; one whose Python has gone is made anew. `--group` needs pip 25.1.
$(VENV)/.made:
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		python=$$(sh .ci/python $(PYTHON)) || exit 1; \
		echo "Making $(VENV) with $$($$python --version)"; \
		$$python -m venv --clear $(VENV); }
	@$(PIP) --upgrade 'pip>=25.1' $(QUIETLY)
	@touch $@
