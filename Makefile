# Everything a newcomer needs: `make demo` and `make test`. Both set up .venv first; the second time that takes no time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check docs format gpu-plan versions clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(READY)  ## the main job for real: estimate, filter, scan, train unguarded and guarded, report
	$(BIN)/python recipes/demo.py

test: $(READY) check  ## checks and tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)  ## linter, formatter, type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)  ## the documentation as a site: out/site/index.html
	$(BIN)/python docs/build.py

format: $(READY)  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

gpu-plan: $(READY)  ## what a GPU would run, in which order, how long it takes and what it answers
	$(BIN)/python benchmarks/gpu/plan.py --list

versions: $(READY)  ## two guarded steps with the oldest and the newest TRL and transformers; WHICH=all: with all
	$(BIN)/python benchmarks/versions/run.py $(WHICH)

$(READY): pyproject.toml .ci/install.py
	$(PYTHON) .ci/install.py $(VENV)
	touch $@

clean:  ## remove the virtual environment and all output
	rm -rf $(VENV) out
