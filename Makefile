# Set-up, demo and tests. Each target works alone, as the first command in a fresh clone.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test nightly lint bench natmods firmware lock clean

help:
	@echo 'make demo     set up, then show it: a broker, a gateway and three nodes (ARGS="--data DIR" plays recordings)'
	@echo 'make test     set up, then all checks and tests'
	@echo 'make nightly  the long sweeps: hours of power cuts, attackers, fuzzing and load (ARGS="-k fuzz" picks some)'
	@echo 'make setup    only set up: Python packages into .venv, MicroPython and native modules into build/'
	@echo 'make lint     ruff, its formatter and mypy'
	@echo 'make bench    set up with the peers to compare with, then every table and plot (ARGS="--data DIR")'
	@echo 'make natmods  the C kernels for the Pico (armv6m), the Pico 2 (armv7emsp) and this machine'
	@echo 'make firmware firmware to flash, for all boards (or BOARD=rpi_pico), into build/firmware/'
	@echo 'make lock     pin the Python packages anew from pyproject.toml (needs uv)'
	@echo 'make clean    remove .venv and build/'

setup:
	@PYTHONPATH=tools $(PYTHON) -m fieldelm_tools.setup

demo: setup
	@$(BIN)/fieldelm demo $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

test: setup lint
	@PYTHONPATH=tools $(PYTHON) -m fieldelm_tools.debian mosquitto mosquitto-clients nodejs npm
	@PYTHONPATH=tools $(PYTHON) -m fieldelm_tools.debian chromium chromium-driver || echo 'the dashboard is not looked at'
	-@$(BIN)/fieldelm build firmware --board rpi_pico && $(BIN)/fieldelm build firmware --plain --board rpi_pico
	$(BIN)/pytest $(ARGS)

nightly: setup
	@PYTHONPATH=tools $(PYTHON) -m fieldelm_tools.debian mosquitto mosquitto-clients nodejs npm
	$(BIN)/pytest -m nightly --timeout 14400 $(ARGS)

bench: setup
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	@$(BIN)/fieldelm bench all $(ARGS)

natmods: setup
	@$(BIN)/fieldelm build natmods

firmware: setup
	@$(BIN)/fieldelm build firmware $(addprefix --board ,$(BOARD)) $(ARGS)

UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
lock:
	$(UV_COMPILE) --extra demo --extra build --extra dev pyproject.toml -o requirements.lock
	$(UV_COMPILE) --group micropython -o requirements-micropython.lock
	$(UV_COMPILE) --extra bench pyproject.toml -o requirements-bench.lock

clean:
	rm -rf .venv build
