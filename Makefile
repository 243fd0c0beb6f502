# `make demo` and `make test` set up what they need; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Others' packages for comparisons, whose pins stay out of the environment of the tests.
PEERS := $(VENV)/peers
# A machine without npm gets Node from PyPI.
EXTRAS := $(shell command -v npm >/dev/null 2>&1 && echo dev || echo dev,local)
PEER_EXTRAS := $(EXTRAS:dev%=bench%)
# What is compiled once is kept, also where the environment says otherwise: the tests would be
# compiled anew by each run of them, and the package by each process that they start.
export PYTHONDONTWRITEBYTECODE :=
DECIDES := agno_portkey/gates/*,agno_portkey/hooks/*,agno_portkey/contracts/*,agno_portkey/guardrails/*,agno_portkey/runs.py,agno_portkey/verdict.py,agno_portkey/modes.py,agno_portkey/workers.py,agno_portkey/govern.py,agno_portkey/install.py

# What finds and stores is held to the general floor.
FINDS := agno_portkey/guardrails/pii/*,agno_portkey/guardrails/injection/*,agno_portkey/guardrails/secrets/*,agno_portkey/guardrails/logs.py,agno_portkey/guardrails/moderation.py

# A file of tests runs in one process, two files at a time.
PARALLEL := -n 2 --dist loadfile

# What git tracks, or would: what a run of the tests may depend on.
LS := git ls-files --cached --others --exclude-standard
FILES := $(shell $(LS))
# Which files these are, since one that is gone is no newer than anything.
LIST := $(VENV)/.files
# As old as the beginning of the last measured run of all tests; only one that passed leaves it.
MEASURED := $(VENV)/.measured

.PHONY: help setup demo cookbook docs playground test sweep timings check format lint types layers bandit audit coverage e2e bypass faults bench bench-cache bench-chats bench-contracts bench-dashboard bench-gates bench-injection bench-kernel bench-peers bench-pii bench-routing bench-search bench-secrets bench-telemetry security clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.ready  ## make the virtual environment and install the package into it

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12), (3, 13)])' \
	    || { echo "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV), and the test tools (two to three minutes, in which nothing is printed) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $@

$(PEERS)/.ready: $(VENV)/.ready
	@echo "Setting up $(PEERS) ..."
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[$(PEER_EXTRAS)]'
	@touch $@

demo: setup  ## the main job, end to end, through a real gateway; needs no account
	@$(BIN)/agno-portkey demo $(ARGS)

test: setup  ## all tests, of long matrices a sample (ARGS: some); MEASURE=1: for `make coverage`, twice as long
ifneq ($(MEASURE)$(ARGS),1)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)
else
	@rm -f $(MEASURED)
	@$(MAKE) --no-print-directory $(MEASURED)
endif

# Without git nothing is known to be as it was.
$(MEASURED): $(VENV)/.ready $(if $(FILES),$(FILES) $(LIST),FORCE)
	@rm -f $@; touch $@.begun
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PARALLEL)
	$(BIN)/coverage combine --quiet
	@mv $@.begun $@

sweep: setup  ## all tests with every case of each matrix: more than twice as long
	$(BIN)/python -m pytest $(PARALLEL) --all-cases $(ARGS)

timings: setup  ## measure all cases of all tests: of those that take long `make test` runs one case
	$(BIN)/python -m pytest $(PARALLEL) --all-cases --junitxml=build/timings.xml
	$(BIN)/python tests/timings.py build/timings.xml

$(LIST): FORCE | $(VENV)/.ready
	@$(LS) | cmp -s - $@ || $(LS) > $@

# A file that git tracks and that is gone counts as changed.
$(FILES) FORCE:

check: format lint types layers bandit coverage docs e2e  ## what CI runs

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy agno_portkey tests/typed.py
	$(BIN)/pyright --project pyproject.toml

layers: setup
	$(BIN)/lint-imports

bandit: setup  ## what looks dangerous in the package
	$(BIN)/bandit --quiet --severity-level medium --configfile pyproject.toml --recursive agno_portkey

audit: setup  ## known weak spots of what is installed; asks PyPI
	$(BIN)/pip-audit --skip-editable $(ARGS)

# All cases cover more than the sample that is measured here.
coverage: setup $(MEASURED)  ## branch coverage held to its floors; tests again only if something has changed since
	$(BIN)/coverage report --include='$(DECIDES)' --omit='$(FINDS)' --fail-under=99
	$(BIN)/coverage report --fail-under=95

docs: setup  ## the pages, with the reference written from the code, into build/site
	$(BIN)/python docs/write_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

e2e: setup  ## the built wheel plays the demo; chat and dashboard in Chromium (PICTURES=1: for the docs)
	$(BIN)/python -m pytest tests/e2e -o addopts= -q

cookbook: setup  ## run the notebooks in place, so that they show what they print now (ARGS="07 08")
	$(BIN)/python cookbook/build.py $(ARGS)

playground: setup  ## the demo's team in a browser, with dashboard; needs no account (ARGS="team.py:team")
	@$(BIN)/agno-portkey serve $(ARGS)

bypass: setup  ## every way round the gate that we know: ours beside plain Agno
	$(BIN)/python benchmarks/bypass.py $(ARGS)

faults: setup  ## sixteen faults of a provider: ours beside Agno's own Portkey
	$(BIN)/python benchmarks/faults.py $(ARGS)

bench-kernel: setup  ## CPU of 0, 1, 10 and 100 guards over bare Agno
	$(BIN)/python benchmarks/kernel.py $(ARGS)

bench-pii: setup  ## what of personal data is found, how fast, and by whom; chunks and first tokens
	$(BIN)/python benchmarks/pii_bench.py $(ARGS)

bench-injection: setup  ## prompt injections found, ours beside Agno's (ARGS=folder of the public sets)
	$(BIN)/python benchmarks/injection.py $(ARGS)

bench-contracts: $(PEERS)/.ready  ## broken structured replies: ours, Agno, Instructor and pydantic-ai
	$(PEERS)/bin/python benchmarks/contracts_bench.py $(ARGS)

bench-peers: $(PEERS)/.ready  ## ours, LiteLLM, LangChain, Agents SDK and pydantic-ai on the same tests
	$(PEERS)/bin/python benchmarks/peers_bench.py $(ARGS)

bench-cache: $(PEERS)/.ready  ## traps, errors against the budget, latency, scopes (ARGS=pairs|stream|latency|scopes)
	$(PEERS)/bin/python benchmarks/cache_bench.py $(ARGS)

bench-chats: setup  ## fifty chats at once for a minute, ours beside AgentOS alone
	$(BIN)/python benchmarks/chats.py $(ARGS)

bench-dashboard: setup  ## how long each panel takes at 10,000 and 100,000 spans, SQLite and Postgres
	$(BIN)/python benchmarks/dashboard.py $(ARGS)

bench-gates: setup  ## how often verdicts flip, and how long gates take to decide and to tell
	$(BIN)/python benchmarks/gates_bench.py $(ARGS)

bench-telemetry: setup  ## CPU of a run with nothing, ours, OpenLIT's default and Agno's own tracing
	$(BIN)/python benchmarks/telemetry_bench.py $(ARGS)

bench-search: setup  ## search quality and latency (QRELS=file, ARGS=quality|latency|indexing|fetch)
	QRELS='$(QRELS)' $(BIN)/python benchmarks/search_bench.py $(ARGS)

bench-secrets: setup  ## secrets found and false alarms, on texts as programs and people write them
	$(BIN)/python benchmarks/secrets_bench.py $(ARGS)

security: setup  ## who gets where, keys rotated under load, planted secrets (ARGS=matrix|rotation|sweep)
	$(BIN)/python benchmarks/security $(ARGS)

bench: setup  ## CPU of a governed run against bare Agno
	$(BIN)/python benchmarks/overhead.py $(ARGS)

bench-routing: setup  ## latency and CPU of a routed call against Agno's own Portkey
	$(BIN)/python benchmarks/routing.py $(ARGS)

clean:  ## remove what was made here
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
