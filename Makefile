# `make help` lists the targets. Nothing but Python 3.11 or 3.12 and make is needed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint lint-sql up down broker kafka build docs generated pictures screens

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## make .venv from the lock

$(VENV)/.installed: requirements.txt pyproject.toml
	@test -x $(BIN)/python \
		|| $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
		|| { echo "Python 3.11 or 3.12 is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -E '^uv==' requirements.txt)"
	@# pip knows proxies and certificates from its own settings; uv does not read those
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.txt \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## two market days through the whole house, in under five minutes
	@$(BIN)/ticklake demo

test: setup ## the tests; no Docker, about twenty minutes on two cores
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

test-all: setup ## the long ones too: faults over many seeds, real Airflow
	TICKLAKE_SEEDS=50 $(BIN)/python -m pytest $(ARGS)

lint: setup lint-sql ## ruff, mypy and sqlfluff, in about two minutes on two cores
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lint-sql: setup ## sqlfluff alone
	@# dbt renders the models for it and opens a lake to do so: an empty one, gone afterwards
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && cd dbt && \
		LAKE_URI=$$scratch LAKE_LOCAL=$$scratch DBT_TARGET_PATH=$$scratch DBT_LOG_PATH=$$scratch \
		../$(BIN)/python lint.py lint --processes 2 --disable-progress-bar models tests

up: setup ## start the broker and Airflow (127.0.0.1:8080), print the log-in
	@$(BIN)/ticklake up

down: setup ## stop them
	@$(BIN)/ticklake down

broker: setup ## start the embedded Kafka broker alone
	@$(BIN)/ticklake broker

kafka: setup ## start Apache Kafka instead: Java 17, messages on disk
	@$(BIN)/ticklake kafka

build: setup ## build what changed and publish it
	@$(BIN)/ticklake build

docs: setup ## every table and column as one page: dbt/target/static_index.html
	@cd dbt && ../$(BIN)/dbt --quiet docs generate --static && echo "open dbt/target/static_index.html"

generated: setup ## make anew what is derived from the contracts
	$(BIN)/python -m contracts.derive.dbt_sources
	$(BIN)/python -m contracts.derive.docs

pictures: setup ## draw the pictures of the docs anew
	$(BIN)/python docs/market.py

screens: setup ## take the pictures of Airflow's pages anew, with a browser: minutes
	@# a folder with a plain name: pictures show where their lake lies
	TICKLAKE_PICTURES=$(CURDIR)/docs/airflow $(BIN)/python -m pytest -q --basetemp=/tmp/desk \
		tests/e2e/test_airflow_browser.py
