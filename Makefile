# make demo: the chat on 127.0.0.1; make test: every check; make bench: how fast. All make what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
CPU_TORCH ?= torch>=2.6,<2.14

.PHONY: demo test bench lint format clean

demo: .venv/serving
	$(BIN)/ragqa demo

test: .venv/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

# BENCH="--pages pages.jsonl --only rerank" chooses; python benchmarks/bench.py --help
bench: .venv/development
	$(BIN)/python benchmarks/bench.py $(BENCH)

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache

.venv/made:
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

.venv/serving: pyproject.toml | .venv/made
	$(BIN)/pip install --quiet --editable .
	@touch $@

# torch first: what is installed then satisfies the others, and no newer build with gigabytes of CUDA is fetched for them
.venv/development: pyproject.toml | .venv/made
	$(BIN)/pip install --quiet "$(CPU_TORCH)"
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@ .venv/serving
