PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/.made

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

.PHONY: venv demo test lint bench
venv: $(STAMP)

# A sweep's directory is never written over, so a second demo takes the next free name.
demo: $(STAMP)
	@name=digits; n=1; while [ -e sweeps/$$name ]; do n=$$((n + 1)); name=digits-$$n; done; \
	set -x; .venv/bin/raysweep run examples/digits.yaml --name $$name

lint: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test: lint
	$(PY) -m pytest

bench: $(STAMP)
	$(PY) -m benchmarks.core
	$(PY) -m benchmarks.store
	$(PY) -m benchmarks.overhead
