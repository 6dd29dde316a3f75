PYTHON ?= python3
PY := .venv/bin/python
STAMP := .venv/.made

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

# The oldest Ray that pyproject.toml allows, beside the pinned one: what touches Ray runs with both.
OLDEST_RAY := 2.59.0
OLDEST := .ray-$(OLDEST_RAY)
TUNER := tests/orchestrator/test_tuner.py::test_
EDGES := tests/test_ray_contract.py tests/trainables/test_tune.py tests/schedulers/test_tune.py \
  $(addprefix $(TUNER),a_function_that_reports stoppers_end_trials_and_the_experiment \
    tune_s_searchers_are_hosted_and_a_limiter_is_respected)

$(OLDEST)/.made: $(STAMP)
	$(PY) -m pip install --quiet --no-deps --upgrade --target $(OLDEST) ray==$(OLDEST_RAY)
	touch $@

.PHONY: venv demo test test-oldest-ray lint bench
venv: $(STAMP)

# A sweep's directory is never written over, so a second demo takes the next free name.
demo: $(STAMP)
	@name=digits; n=1; while [ -e sweeps/$$name ]; do n=$$((n + 1)); name=digits-$$n; done; \
	set -x; .venv/bin/raysweep run examples/digits.yaml --name $$name

lint: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Tests with Ray keep more than one core busy by themselves; the others run on two.
test: lint
	$(PY) -m pytest -m "not slow and not ray" --numprocesses 2
	$(PY) -m pytest -m "ray and not slow"

test-oldest-ray: $(OLDEST)/.made
	PYTHONPATH=$(OLDEST) $(PY) -m pytest $(EDGES)

bench: $(STAMP)
	$(PY) -m benchmarks.core
	$(PY) -m benchmarks.rules
	$(PY) -m benchmarks.store
	$(PY) -m benchmarks.overhead
	$(PY) -m benchmarks.idle
