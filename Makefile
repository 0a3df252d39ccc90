# make demo: set-up, then a search engine built, queried and evaluated.   make test: set-up, then the suite.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --constraint constraints.txt
# torch goes first and pinned: asked for by range, pip would fetch the newest build and its CUDA packages.
TORCH := torch==2.13.0

.PHONY: demo test test-older lint format types clean

demo: .venv/.demo
	$(BIN)/tamis demo

# two files at a time; one thread each, or two torches would wait for each other's threads
test: .venv/.test .venv/.chromium
	OMP_NUM_THREADS=1 $(BIN)/pytest tests --numprocesses 2 --dist loadfile

# our model folders in the oldest sentence-transformers that is promised; the suite has the newest
test-older: .venv/.test
	older=$$(mktemp -d) && \
	$(BIN)/pip install --quiet --no-deps --target $$older sentence-transformers==5.0.0 && \
	PYTHONPATH=$$older $(BIN)/pytest tests/encoders/test_recurrent_sentence_transformers.py \
	    tests/encoders/test_folded_encoder.py; \
	status=$$?; rm -rf $$older; exit $$status

lint: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

format: .venv/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# mypy must find the package under its name, so it looks through a link outside the checkout.
types: .venv/.test
	link=$$(mktemp -d) && ln -s "$(CURDIR)" $$link/tamis && cd $$link && \
	MYPYPATH=$$link "$(CURDIR)/$(BIN)/mypy" --config-file "$(CURDIR)/pyproject.toml" \
	    --cache-dir "$(CURDIR)/.mypy_cache" -p tamis

.venv/.python:
	$(PYTHON) -m venv .venv
	$(PIP) $(TORCH)
	touch $@

# the C kernels are built by the install, into their folder
NATIVE := $(shell find kernels -name '*.c' -o -name '*.h' -o -name '*.def')

.venv/.demo: .venv/.python pyproject.toml constraints.txt $(NATIVE)
	$(PIP) --editable '.[cpu,minilm,ltr]'
	touch $@

.venv/.test: .venv/.demo
	$(PIP) --editable '.[cpu,minilm,lucene,ltr,plots,dev]'
	touch $@

# a browser, which opens the page of a comparison; where none can be had, its tests are skipped
APT := apt-get install --yes --no-install-recommends
BROWSERS := chromium chromium-browser google-chrome
.venv/.chromium: .venv/.python
	@for browser in $(BROWSERS); do command -v $$browser > /dev/null && touch $@ && exit 0; done; \
	[ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && \
	{ $(APT) chromium > /dev/null 2>&1 || { apt-get update > /dev/null && $(APT) chromium > /dev/null; }; } || \
	echo "no chromium can be installed here: tests that need a browser are skipped"; \
	touch $@

clean:
	rm -rf .venv build kernels/native/*.so *.egg-info .mypy_cache .ruff_cache .pytest_cache
