"""docs/document.yaml against the document's counts and against what the notebooks really call."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENTRIES: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs/document.yaml").read_text("utf-8"))
EACH = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['notebook']}: {entry['text'][:40]}")

# The document's headings in their order, each with its notebook and how many entries it has (counted by hand).
SECTIONS = {
    "Setup nodes": ("01", 24),
    "Install Kubernetes": ("02", 7),
    "Network plugin": ("03", 5),
    "Taint master nodes": ("04", 1),
    "Helm": ("05", 3),
    "Default storage": ("06", 2),
    "NVIDIA integration": ("07", 14),
    "Prometheus and Grafana": ("08", 5),
    "NVIDIA exporter": ("09", 6),
    "Tensorflow training operator": ("10", 1),
}
KINDS = {"command": 57, "look-up": 5, "edit": 5, "import": 1}
KEYS = {"section", "kind", "text", "notebook", "step", "otherwise", "planned"}


def called(number: str) -> set[str]:
    """What a notebook calls of the operations, as `module.function`, whether called or handed over."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    code = ["".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    nodes = ast.walk(ast.parse("\n".join(code)))
    return {f"{n.value.id}.{n.attr}" for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}


def test_every_command_look_up_edit_and_import_of_the_document_is_here() -> None:
    assert Counter(entry["kind"] for entry in ENTRIES) == KINDS


def test_the_sections_stand_in_the_documents_order_with_all_their_entries() -> None:
    assert list(dict.fromkeys(entry["section"] for entry in ENTRIES)) == list(SECTIONS)
    assert Counter(entry["section"] for entry in ENTRIES) == {name: count for name, (_, count) in SECTIONS.items()}


@EACH
def test_an_entry_has_known_keys_and_stands_on_one_line(entry: dict[str, Any]) -> None:
    assert set(entry) <= KEYS
    assert "\n" not in entry["text"]


@EACH
def test_an_entry_is_done_by_its_sections_notebook(entry: dict[str, Any]) -> None:
    """But for the looks that notebook 00 takes before anything else."""
    assert entry["notebook"] in ("00", SECTIONS[entry["section"]][0])


@EACH
def test_an_entry_names_steps_its_notebook_uses_or_says_why_not(entry: dict[str, Any]) -> None:
    if entry.get("planned"):
        assert not list((ROOT / "notebooks").glob(f"{entry['notebook']}_*.ipynb")), "it is there: name its steps"
        return
    steps = set(entry.get("step", ()))
    assert steps or entry.get("otherwise")
    assert steps <= called(entry["notebook"]), f"{steps - called(entry['notebook'])} is not in the notebook"


def test_every_step_of_the_notebooks_belongs_to_the_document_or_is_named_here() -> None:
    """What the runbook does beyond the document, each with its reason."""
    beyond = {
        "containerd.registry_hosts",  # mirrors: the document pulls from upstream only
        "kubeadm.etcd_members",  # a look: how many failures the cluster survives
        "kubeadm.versions_agree",  # a look: one version everywhere
        "flannel.network_proof",  # a proof; the document trusts Ready
        "taints.scheduling_proof",  # a proof
        "charts.repositories_added",  # at once, where the document adds each where it is used
        "packages.installed",  # the NFS client, without which pods wait for ever
        "storage.server_installed",  # the document has the server already
        "storage.exported",
        "storage.export_reachable",  # a look, before anything is installed
        "storage.one_default_class",  # a look: two defaults are none
        "storage.claim_proof",  # a proof
        "nvidia.driver_present",  # a look: the document takes the driver for granted
        "nvidia.devices_linked",  # or a daemon-reload takes the GPUs from running pods
        "training_operator.ready",  # the webhook, before a job is refused for want of it
        "training_operator.accepts_jobs",  # a look, by a dry run
        "preflight.together",  # names, clocks and sources, before anything fails half-way
    }
    numbers = sorted({entry["notebook"] for entry in ENTRIES if not entry.get("planned")})
    named = {step for entry in ENTRIES for step in entry.get("step", ())}
    operations = {step for n in numbers for step in called(n) if not step.startswith(("nodes.", "docker.", "node."))}
    assert operations - named == beyond
