# Everything runs from here: on a fresh Debian or Ubuntu machine, as root or with sudo.
.PHONY: rehearse test check notebooks outputs bench clean system
.DEFAULT_GOAL := check
SHELL := /bin/bash

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the lab needs from the system: nodes (podman, runc), artifacts (the rest); tcpdump watches that nothing leaves.
PACKAGES := podman runc netavark mmdebstrap skopeo apt-utils gnupg dpkg-dev iproute2 iptables openssh-client \
            tcpdump gcc libc6-dev python3-venv ca-certificates curl git

rehearse: $(VENV)/.ready system  ## the whole runbook on a real cluster in containers; again: changes nothing
	$(SUDO) $(BIN)/pic4ser lab up
	$(SUDO) $(BIN)/pic4ser run parameters/lab

test: check system  ## everything, with its set-up
	$(SUDO) $(BIN)/python -m pytest tests/hosts tests/rehearsal

check: $(VENV)/.ready  ## format, types, import contracts, unit tests: under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit

notebooks: $(VENV)/.ready system  ## JupyterLab on the runbook, with the lab up
	$(SUDO) $(BIN)/pic4ser lab up
	$(SUDO) $(BIN)/jupyter lab --notebook-dir=. notebooks/00_before_you_start.ipynb $(if $(SUDO),--allow-root,$(if $(filter 0,$(shell id -u)),--allow-root))

outputs: $(VENV)/.ready system  ## execute the notebooks in place on the converged lab, for the commit
	$(SUDO) $(BIN)/pic4ser lab up
	$(SUDO) $(BIN)/python -m pic4ser_lib.runbook outputs

bench: $(VENV)/.ready system  ## figures as ratios in one run
	$(SUDO) $(BIN)/python -m bench

clean:  ## the lab down, the environment and the runs gone; the cache stays
	-[ ! -x $(BIN)/pic4ser ] || $(SUDO) $(BIN)/pic4ser lab down
	rm -rf $(VENV) runs .mypy_cache .pytest_cache .ruff_cache

# System packages are asked for only when one is missing.
system:
	@dpkg -s $(PACKAGES) >/dev/null 2>&1 || { $(SUDO) apt-get update -q && \
	  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q --no-install-recommends $(PACKAGES); }

# The exact versions, with hashes, are in requirements.lock; the library itself is installed editable.
$(VENV)/.ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps -e .
	touch $@
