# Everything a person does daily. The environment is .venv: made with uv where it is on PATH, else with python3 and pip.

PYTHON ?= python3
ARGS ?=
MODEL ?= forecaster

UV := $(shell command -v uv 2>/dev/null)
PY := .venv/bin/python

# A stamp stands for an installed set of packages; its name changes when a requirement does.
KEY := $(shell cat pyproject.toml clients/python/pyproject.toml constraints.txt | cksum | cut -d ' ' -f 1)
SERVING := .venv/.serving-$(KEY)
TRAINING := .venv/.training-$(KEY)
ALL := .venv/.all-$(KEY)
BENCH := .venv/.bench-$(KEY)

# Triton's server and the numpy that its Python backend was built for: apart, for the rest needs numpy 2.
TRITON := nvidia-pytriton==0.7.0 numpy==1.26.4

# A .venv that uv made may have no pip.
PIP = { $(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null; } && $(PY) -m pip
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $(PY),$(PIP) install --quiet --disable-pip-version-check) \
	--constraint constraints.txt

export BENTOML_DO_NOT_TRACK := 1
# As pip does: without bytecode a start takes three times as long where Python may not write it (PYTHONDONTWRITEBYTECODE).
export UV_COMPILE_BYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help serve test lint train bento loadtest bench constraints

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
		while IFS='	' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

serve: $(SERVING)  ## Start the server; flags by ARGS="--http_port 3001"
	@exec $(PY) -m serving $(ARGS)

# Servers are tested one at a time, for other work would make them late; training only takes its time, so it is shared out.
test: lint  ## Check everything: lint, then all tests; or those that pytest is told to run by ARGS="tests/clients -k retry"
ifneq ($(strip $(ARGS)),)
	$(PY) -m pytest $(ARGS)
else
	@trained=0; \
	$(PY) -m pytest tests/training --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder || trained=$$?; \
	$(PY) -m pytest --ignore tests/training && exit $$trained
endif

lint: $(ALL)  ## ruff, mypy and import-linter
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

train: $(TRAINING)  ## Train and export a model: MODEL=forecaster|sketchrnn|video ARGS="--data PATH"
	$(PY) -m training $(MODEL) $(ARGS)

bento: $(SERVING)  ## Build a Bento: code, models and pinned requirements
	$(PY) -m serving.bento $(ARGS)

loadtest: $(ALL)  ## 30 seconds of load on a server that it starts
	$(PY) -m loadtests $(ARGS)

bench: $(BENCH)  ## Throughput and latency beside other servers: ARGS="--studies single batch"
	$(PY) -m benchmarks $(ARGS)

constraints: $(ALL)  ## Pin every dependency anew
	.venv/bin/uv pip compile --universal --python-version 3.11 --all-extras --no-header --no-emit-index-url \
		--no-emit-find-links --annotation-style=line --upgrade --quiet \
		pyproject.toml clients/python/pyproject.toml --output-file constraints.txt

$(PY):
ifdef UV
	$(UV) venv --quiet --seed --python '>=3.11,<3.14' .venv
else
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found; expected Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit(f"expected \
	Python 3.11, 3.12 or 3.13, got {v[0]}.{v[1]}; name another with make PYTHON=python3.12, or install uv")'
	$(PYTHON) -m venv .venv
endif

$(SERVING): | $(PY)
	@echo "Installing what the server needs (once)"
	@$(INSTALL) --editable '.[serving]'
	@touch $@

$(TRAINING): | $(PY)
	@echo "Installing what training needs (once)"
	@$(INSTALL) --editable '.[training]'
	@touch $@

$(ALL): | $(PY)
	@echo "Installing everything (once)"
	@$(INSTALL) --editable '.[serving,training,loadtests,remote,dev]' --editable clients/python
	@touch $@ $(SERVING) $(TRAINING)

$(BENCH): | $(ALL)
	@echo "Installing the servers to compare with (once)"
	@$(INSTALL) --editable '.[benchmarks]'
	@$(if $(UV),$(UV) pip install --quiet --python $(PY),$(PIP) install --quiet --disable-pip-version-check) \
		--no-deps --target .venv/triton $(TRITON) || echo "Triton cannot be installed here; it is left out"
	@touch $@
