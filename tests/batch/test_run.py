"""A batch of real notebooks in real kernels: what is done, what failed, what is left out, and what lies there after."""

from __future__ import annotations

import json

import pytest

from pic4ser_lib import consent
from pic4ser_lib.house import house_of, notebooks_of
from pic4ser_lib.journal import verify_run
from pic4ser_lib.runbook import report, summary
from pic4ser_lib.runbook.grid import Lines
from pic4ser_lib.runbook.notebook import runbook
from pic4ser_lib.runbook.walk import RunResult, run, runs_of
from pic4ser_lib.site import Site
from pic4ser_lib.steps import Mode

from .conftest import END, Make, notebook

SETUP = """
import sys
print(f"{node}: works", file=sys.stderr)
keep("swap.off", "changed", node, actions=("run: swapoff -a",), seconds=0.5)
keep("swap.off", "ok", node)
if node == "kitt": raise ValueError("kitt: swap.off: wanted <no> swap, saw /swap.img")
if node == "rover": sys.exit(0)
"""
CLUSTER = """
keep("nodes", "ok", "cluster", seen=repr([site, node, mode, os.getcwd(), *(os.environ.get(f"PIC4SER_{x}")
     for x in ("WITHOUT", "RUN_ID", "MODE", "PROVE", "NOTEBOOK"))]))
"""


def batch(site: Site, mode: Mode = Mode.APPLY, **more: object) -> RunResult:
    books = runbook(notebooks_of(site.path))
    return run(site, notebooks=books, mode=mode, out=runs_of(site), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def mixed(house: Make, said: list[str]) -> tuple[Site, RunResult]:
    """Node notebooks of which one fails and one leaves early, then one of the cluster, then one of the nodes again."""
    site = house(
        {
            "01_setup": notebook(SETUP, END, per_node=True),
            "02_cluster": notebook(CLUSTER, END),
            "03_again": notebook(END, per_node=True),
        }
    )
    return site, batch(site, prove=True, tell=Lines(write=said.append))


def states(result: RunResult) -> dict[str, str]:
    return {standing.launch.label: standing.state.value for standing in result.standings}


def test_one_bad_node_stops_no_other_and_is_left_out_afterwards(mixed: tuple[Site, RunResult]) -> None:
    assert states(mixed[1]) == {
        "01_setup on bonnie": "done",
        "01_setup on kitt": "failed",
        "01_setup on rover": "failed",
        "02_cluster": "done",
        "03_again on bonnie": "done",
        "03_again on kitt": "left out",
        "03_again on rover": "left out",
    }
    assert list(mixed[1].left_out) == ["kitt", "rover"]
    assert not mixed[1].succeeded


def test_a_failure_carries_the_errors_own_words(mixed: tuple[Site, RunResult]) -> None:
    assert mixed[1].failed[0].error == "kitt: swap.off: wanted <no> swap, saw /swap.img"


def test_leaving_a_cell_early_is_no_success(mixed: tuple[Site, RunResult]) -> None:
    assert "without recording its outcome" in mixed[1].failed[1].error


def test_a_notebook_learns_its_parameters_as_text_and_the_run_from_its_environment(
    mixed: tuple[Site, RunResult],
) -> None:
    site, result = mixed
    [record] = report.records_of(result.folder / "journal" / "02_cluster.jsonl")
    house = str(house_of(site.path))
    known = ["parameters/den", "*", "apply", house, "kitt,rover", result.run_id, "apply", "1", "02_cluster"]
    assert record.seen == repr(known)


def test_executed_notebooks_lie_under_their_own_names_and_nothing_half_written(mixed: tuple[Site, RunResult]) -> None:
    names = sorted(path.name for path in (mixed[1].folder / "notebooks").iterdir())
    assert names == [
        "01_setup-bonnie.ipynb", "01_setup-kitt.ipynb", "01_setup-rover.ipynb", "02_cluster.ipynb",
        "03_again-bonnie.ipynb",
    ]  # fmt: skip


def test_a_change_that_was_verified_counts_once(mixed: tuple[Site, RunResult]) -> None:
    assert mixed[1].standings[0].counts == {"bonnie": {"changed": 1}}


def test_progress_names_notebook_node_and_reason(mixed: tuple[Site, RunResult], said: list[str]) -> None:
    assert "01_setup on kitt: begins" in said
    assert any(line.startswith("01_setup on kitt: failed after") and "saw /swap.img" in line for line in said)


def test_the_summary_says_who_failed_why_and_who_was_left_out(mixed: tuple[Site, RunResult]) -> None:
    lines = summary.overview(mixed[1])
    assert "01_setup on kitt: kitt: swap.off: wanted <no> swap, saw /swap.img" in lines
    assert "Left out: kitt, after 01_setup" in lines
    assert summary.last_lines(mixed[1], site="parameters/den", seal="")[-1] == "Next: pic4ser run parameters/den"


def test_the_evidence_is_sealed_and_told_to_a_person(mixed: tuple[Site, RunResult]) -> None:
    site, result = mixed
    seal = report.write(result, site)
    page = (result.folder / "report.html").read_text()
    assert all(verdict.good for verdict in verify_run(result.folder, seal=seal))
    assert "saw /swap.img" in page
    assert "wanted &lt;no&gt; swap" in page
    assert "nothing at all instead of machines" in page
    assert "http" not in page
    assert json.loads((result.folder / "run.json").read_text())["left_out"].keys() == {"kitt", "rover"}


def test_an_edited_journal_is_found(mixed: tuple[Site, RunResult]) -> None:
    site, result = mixed
    report.write(result, site)
    path = result.folder / "journal" / "01_setup-kitt.jsonl"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"swapoff", b"swap0ff"))
    verdicts = verify_run(result.folder)
    path.write_bytes(before)
    assert [verdict.head.name for verdict in verdicts if not verdict.good] == [path.name]


BAD_FIRST = 'if node in ("bonnie", "*"): raise ValueError("bonnie (192.0.2.11): not reachable over SSH: no route.")'


@pytest.mark.parametrize("mode", [Mode.APPLY, Mode.VERIFY])
def test_without_the_first_control_plane_nothing_goes_on(house: Make, mode: Mode) -> None:
    site = house({"01_setup": notebook(BAD_FIRST, END, per_node=True), "02_cluster": notebook(END)})
    result = batch(site, mode)
    assert states(result)["01_setup on kitt"] == "done"
    assert states(result)["02_cluster"] == "waiting"
    assert result.stopped == (
        "bonnie is the first control plane: nothing can go on without it. "
        "If it is gone for good, docs/lost_control_plane.md says what can be done."
    )


@pytest.mark.parametrize(("mode", "last"), [(Mode.APPLY, "waiting"), (Mode.VERIFY, "done")])
def test_a_broken_cluster_ends_a_change_but_verifying_looks_at_everything(house: Make, mode: Mode, last: str) -> None:
    site = house(
        {"02_cluster": notebook("import signal; os.kill(os.getpid(), signal.SIGKILL)"), "03_next": notebook(END)}
    )
    result = batch(site, mode, node="kitt")
    assert states(result) == {"02_cluster": "failed", "03_next": last}
    assert "the kernel died" in result.failed[0].error


ASKS = """
from pic4ser_lib.consent import ask_password
from pic4ser_lib.errors import ConsentMissing
try:
    answer = ask_password(node)
except ConsentMissing as missing:
    answer = str(missing)
keep("asked", "ok", "cluster", seen=answer)
"""


def test_a_kernel_gets_a_password_from_the_run_and_can_ask_nobody_else(house: Make) -> None:
    site = house({"01_asks": notebook(ASKS, END, per_node=True)})
    with consent.answers({"kitt": "open sesame"}) as ask:
        result = batch(site, ask=ask)
    seen = {s.launch.node: report.records_of(s.launch.journal)[0].seen for s in result.standings}
    assert seen["kitt"] == "open sesame"
    assert seen["rover"].startswith("Nobody could be asked for the sudo password for rover.")


JOINS = """
without = os.environ["PIC4SER_WITHOUT"]
keep("joined", "ok", "bonnie", seen=without)
if not without:
    raise RuntimeError("1 of 3 nodes failed: kitt; done: bonnie.\\n  kitt (192.0.2.12): not reachable over SSH: x.")
"""


@pytest.mark.parametrize("mode", [Mode.APPLY, Mode.PLAN])
def test_a_notebook_of_the_cluster_runs_again_without_the_node_it_failed_at(house: Make, mode: Mode) -> None:
    result = batch(house({"02_cluster": notebook(JOINS, END), "03_next": notebook(END)}), mode)
    assert states(result) == {"02_cluster": "done", "03_next": "done"}
    assert result.left_out == {"kitt": "02_cluster: kitt (192.0.2.12): not reachable over SSH: x."}
    assert not result.succeeded


def test_what_a_notebook_needs_is_waited_for_and_nothing_follows_what_will_never_come(house: Make) -> None:
    site, asked = house({"01_first": notebook(END), "05_charts": notebook(END), "06_more": notebook(END)}), []

    def ready(name: str) -> str:
        asked.append(name)
        return f"{name} cannot begin: the mirror has no helm" if name == "05_charts" else ""

    result = batch(site, ready=ready)
    assert states(result) == {"01_first": "done", "05_charts": "waiting", "06_more": "waiting"}
    assert asked == ["01_first", "05_charts"]
    assert result.stopped == "05_charts cannot begin: the mirror has no helm"
    assert not result.succeeded


def test_ctrl_c_while_a_notebook_waits_ends_the_run(house: Make) -> None:
    def ready(name: str) -> str:
        raise KeyboardInterrupt

    result = batch(house({"01_first": notebook(END)}), ready=ready)
    assert result.interrupted
    assert states(result) == {"01_first": "waiting"}
