# Everything runs from here: on a fresh Debian or Ubuntu machine, as root or with sudo.
.PHONY: rehearse test soak check static notebooks outputs docs bench clean system qemu
.DEFAULT_GOAL := check
SHELL := /bin/bash -o pipefail

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the lab needs from the system: nodes (podman, runc), artifacts (the rest). tcpdump watches that nothing leaves,
# chromium makes pictures of figures and steps through JupyterLab.
PACKAGES := podman runc netavark mmdebstrap skopeo gnupg kmod iproute2 iptables openssh-client tcpdump \
            gcc libc6-dev python3-venv ca-certificates curl git util-linux debian-archive-keyring chromium
# Only for nodes that are virtual machines.
QEMU := qemu-system-x86 qemu-utils e2fsprogs libfaketime
# What `make rehearse` boots: container, or vm, and then of which release of Debian: bookworm, or trixie.
NODES ?= container
RELEASE ?= bookworm

# JupyterLab asks nobody for news: the machines it is used on may have no way out.
QUIET := {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}

LAB := $(SUDO) $(BIN)/pic4ser lab
TEST := $(SUDO) $(BIN)/python -m pytest

ifeq ($(NODES),vm)
rehearse: $(VENV)/.ready system qemu  ## on virtual machines; `lab up` says last which site to run
	@set -e -o pipefail; said=$$($(LAB) up --nodes vm --release $(RELEASE) | tee /dev/stderr); $(SUDO) $(BIN)/pic4ser run "$${said##*pic4ser run }"
else
rehearse: $(VENV)/.ready system  ## the whole runbook on a real cluster in containers; again: changes nothing
	$(LAB) up
	$(SUDO) $(BIN)/pic4ser run parameters/lab
endif

# A lab that an earlier run left is taken down first, whatever was done to this machine since then, and this one's at the
# end, however the tests end. The run that is killed installs everything; what needs a converged cluster finds that one.
# Installing is mostly waiting: what needs machines of its own and no cluster joins that lab and runs meanwhile, and
# tests/rehearsal/end waits for it; tests/telemetry and tests/programs want what the lab has built by then.
BESIDE := $(MAKE) --no-print-directory -j2
test: static system qemu  ## everything, with its set-up
	@set -e; trap '$(LAB) down' EXIT; $(LAB) down || true; $(LAB) up; \
	$(BESIDE) --output-sync test-lab test-without-lab; \
	$(LAB) down; \
	$(BESIDE) test-cluster test-beside

test-without-lab:
	$(BIN)/python -m pytest -q -n auto tests/unit
	$(BIN)/python -m pytest tests/installed tests/docs
test-lab:
	$(TEST) tests/rehearsal/lab
test-cluster:
	$(SUDO) PIC4SER_MODE=verify $(BIN)/python -m pytest -x --nbval tests/rehearsal/whole notebooks tests/rehearsal/converged tests/rehearsal/end
test-beside:
	$(SUDO) PIC4SER_BESIDE=1 $(BIN)/python -m pytest tests/hosts tests/batch tests/browser tests/vm/test_one_machine.py tests/telemetry tests/programs 2>&1 | sed -u 's/^/beside: /'

# The notebooks on plain machines by nbval; then killed at 20 moments of a run instead of 3; then virtual machines.
soak: $(VENV)/.ready system qemu  ## what takes too long for every change
	$(LAB) down; $(LAB) up --wait
	$(TEST) -x --nbval notebooks tests/rehearsal/undisturbed
	$(SUDO) PIC4SER_KILLS=20 $(BIN)/python -m pytest tests/rehearsal/whole tests/rehearsal/end
	$(SUDO) PIC4SER_CUTS=5 $(BIN)/python -m pytest tests/vm
	$(SUDO) PIC4SER_RELEASE=trixie $(BIN)/python -m pytest tests/vm/test_one_machine.py tests/vm/test_three_machines.py

check: static  ## format, types, import contracts, unit tests: about a minute
	$(BIN)/python -m pytest -q -n auto tests/unit

static: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: $(VENV)/.ready system  ## JupyterLab on the runbook, with the lab up
	$(LAB) up
	$(SUDO) $(BIN)/jupyter lab --notebook-dir=. notebooks/00_before_you_start.ipynb $(if $(SUDO),--allow-root,$(if $(filter 0,$(shell id -u)),--allow-root))

outputs: $(VENV)/.ready system  ## execute the notebooks in place on the converged lab, and note what it left, for the commit
	$(LAB) up
	$(SUDO) $(BIN)/python -m pic4ser_lib.outputs
	$(SUDO) $(BIN)/python tests/rehearsal/final_state.py

docs: $(VENV)/.ready  ## the runbook and its reference as a site: build/docs/index.html
	$(BIN)/python -m docs

bench: $(VENV)/.ready system  ## figures as ratios in one run
	$(SUDO) $(BIN)/python -m bench

clean:  ## the lab down, the environment and the runs gone; the cache stays
	-[ ! -x $(BIN)/pic4ser ] || $(SUDO) $(BIN)/pic4ser lab down
	rm -rf $(VENV) runs .mypy_cache .pytest_cache .ruff_cache

# System packages are asked for only when one is missing.
system:
	@$(call installed,$(PACKAGES))

qemu:
	@$(call installed,$(QEMU))

installed = dpkg -s $(1) >/dev/null 2>&1 || { $(SUDO) apt-get update -q && \
  DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -q --no-install-recommends $(1); }

# The exact versions, with hashes, are in requirements.lock; the library itself is installed editable.
$(VENV)/.ready: pyproject.toml requirements.lock requirements-go.lock
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -y -q python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@mkdir -p $(VENV)/share/jupyter/lab/settings && echo '$(QUIET)' >$(VENV)/share/jupyter/lab/settings/overrides.json
	@$(BIN)/python -c 'from pic4ser_lib.lab import golang, pins; golang.toolchain(pins.load().golang["go"])' 2>/dev/null || \
	  $(BIN)/pip install -q --require-hashes -r requirements-go.lock
	touch $@
