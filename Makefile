# Everything runs from .venv, which `setup` makes; nothing else has to be installed than Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-rules test-stories test-servers soak lint bench release lock schema holes alerts clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /	/' | expand -t 10

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

setup: $(VENV)/ready ## install what the project needs into .venv, pinned and checked by hash

demo: setup ## play a day of all six kinds of case on a region of its own
	$(BIN)/python -m workers.demo

STATE ?= .omhand/dev
dev: setup ## start everything on this machine and keep it running (state in .omhand/dev, or STATE=…)
	$(BIN)/omhand dev --state $(STATE)

lint: setup ## style, types and the directions between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint, then every test: the rules, and beside them what needs real servers, which the tests start themselves
	$(MAKE) --no-print-directory --jobs=3 test-rules test-stories test-servers

RULES := tests/decisions
SEARCHES := $(addprefix tests/decisions/test_,invariants.py reachable.py a_year_of_messages.py calendars_at_random.py)
PARTS := tests/contract tests/activities tests/replay tests/faults
OUTAGES := tests/faults/test_outages.py
STORIES := tests/scenarios

# The rules need a processor and nothing else. The searches among them take half as long unwatched, and cover no more.
test-rules: setup # and then the parts by themselves, which need Postgres
	$(BIN)/pytest $(RULES) $(addprefix --ignore=,$(SEARCHES)) --cov --cov-report=term-missing:skip-covered
	$(BIN)/pytest $(SEARCHES) $(PARTS) --ignore=$(OUTAGES)

test-stories: setup # long lives: they mostly wait for servers and timers
	$(BIN)/pytest $(STORIES)

test-servers: setup # everything else, which waits as well
	$(BIN)/pytest $(filter-out $(RULES) $(PARTS) $(STORIES) tests/conftest.py tests/__pycache__ tests/releases,$(wildcard tests/*)) $(OUTAGES)

soak: setup ## the tests that take minutes: a year of messages, a thousand patients for two hundred times
	$(BIN)/pytest -m soak

bench: setup ## measure: cases a second, CPU and memory a case, beside two bare workflows
	$(BIN)/python -m workers.bench

schema: setup ## write the JSON Schema of the contract anew
	$(BIN)/python -m omhand.contract.schema

RELEASED := omhand decisions workflows activities workers examples pyproject.toml
release: ## keep the program of this commit beside the tests: they prove that its workers go on beside the next release's
	version=$$(git show HEAD:pyproject.toml | sed -n 's/^version = "\(.*\)"$$/\1/p') && \
	git archive -9 --output=tests/releases/omhand-$$version.tar.gz HEAD $(RELEASED)

lock: ## pin every dependency anew (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --quiet --output-file requirements.lock
	$(MAKE) --no-print-directory setup
	$(BIN)/python deploy/lock.py

alerts: ## check the alert rules, and how long each waits before it fires (needs promtool, which comes with Prometheus)
	promtool check rules deploy/prometheus/alerts.yml
	promtool test rules deploy/prometheus/alerts.test.yml

holes: setup ## look for known holes in the pinned packages (needs pip-audit and the network)
	pip-audit --requirement requirements.lock --require-hashes --disable-pip

clean: ## remove what was installed and what demo and dev left behind
	rm -rf $(VENV) .omhand .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage dist build *.egg-info
