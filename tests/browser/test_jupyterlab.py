"""Stepping through in JupyterLab, as a person does it: run, watch, interrupt, run again, be asked, see why not."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_house import House
from playwright.sync_api import Locator, Page, expect
from steps_on_show import FOLDER

from pic4ser_lib.site import Node

LONG = 60_000  # milliseconds: kernels start slowly on a busy machine


def on(node: Node, script: str) -> str:
    """What a script prints on the node, by OpenSSH."""
    ssh = node.ssh
    trust = ["-o", f"UserKnownHostsFile={ssh.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    words = ["ssh", "-F", "none", "-i", str(ssh.key), *trust, f"{ssh.user}@{node.address}", f"sudo bash -c '{script}'"]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture(autouse=True)
def nothing_there(node: Node) -> Iterator[None]:
    """Each test begins on a node without our files, and ends on one."""
    on(node, f"rm -rf {FOLDER}")
    yield
    on(node, f"rm -rf {FOLDER}")


def opened(page: Page, house: House, address: str) -> Locator:
    """JupyterLab with one notebook in it, whose kernel has started and waits for cells; its code cells."""
    page.goto(address)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells.first).to_be_visible(timeout=LONG)
    # The window shows an idle kernel before there is any: the server knows.
    for _ in range(LONG // 500):
        if house.kernel_waits(address):
            break
        page.wait_for_timeout(500)
        expect(cells.first).to_be_visible(timeout=LONG)
    else:
        pytest.fail("the notebook's kernel did not start")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first).to_be_visible(timeout=LONG)
    return cells


def menu(page: Page, name: str, entry: str) -> None:
    """Choose an entry of one of JupyterLab's menus."""
    page.locator(".lm-MenuBar-itemLabel", has_text=name).first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()


def run_all(page: Page) -> None:
    """Run > Run All Cells; again if JupyterLab shows an idle kernel but does not take the cells yet."""
    prompt = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").first
    for _ in range(3):
        menu(page, "Run", "Run All Cells")
        with contextlib.suppress(AssertionError):
            expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=LONG / 2)
            return
    pytest.fail("JupyterLab does not run the cells")


def look(page: Page, tmp_path: Path) -> None:
    """A picture for whoever wants to look, in the test's own folder."""
    page.screenshot(path=tmp_path / "window.png")


def test_all_cells_run_and_show_their_outcome_as_tables(page: Page, house: House, tmp_path: Path) -> None:
    cells = opened(page, house, house.notebook("runs", 'nodes.run(Written("a"))', "nodes.verify()"))
    run_all(page)
    expect(cells.nth(0).locator(".jp-OutputArea")).to_contain_text("One machine, mode apply", timeout=LONG)
    expect(cells.nth(1).locator("table")).to_contain_text("changed", timeout=LONG)
    expect(cells.nth(2).locator("table")).to_contain_text("the file is there", timeout=LONG)
    look(page, tmp_path)


def test_a_long_cell_says_what_it_does_while_it_does_it(page: Page, house: House, tmp_path: Path) -> None:
    cells = opened(page, house, house.notebook("long", 'nodes.run(Written("b", seconds=9))'))
    run_all(page)
    said = cells.nth(1).locator(".jp-OutputArea")
    expect(said).to_contain_text("show.written: run: sleep 9", timeout=LONG)
    expect(said).to_contain_text("still at it (4 s)", timeout=LONG)
    assert "changed" not in said.inner_text()
    look(page, tmp_path)
    expect(cells.nth(1).locator("table")).to_contain_text("changed", timeout=LONG)


def test_an_interrupted_cell_says_so_and_goes_on_when_run_again(
    page: Page, house: House, node: Node, tmp_path: Path
) -> None:
    cells = opened(page, house, house.notebook("stop", 'nodes.run(Written("c", seconds=20))'))
    run_all(page)
    said = cells.nth(1).locator(".jp-OutputArea")
    expect(said).to_contain_text("sleep 20", timeout=LONG)
    menu(page, "Kernel", "Interrupt Kernel")
    expect(said).to_contain_text("KeyboardInterrupt", timeout=LONG)
    assert on(node, f"ls {FOLDER}") == "", "what was not begun is not done"
    look(page, tmp_path)
    on(node, f"echo so >{FOLDER}/c")
    run_all(page)
    expect(cells.nth(1).locator("table")).to_contain_text("ok", timeout=LONG)


def test_a_failure_is_a_sentence_with_what_to_do(page: Page, house: House, tmp_path: Path) -> None:
    cells = opened(page, house, house.notebook("fails", "nodes.run(Forbidden())"))
    run_all(page)
    said = cells.nth(1).locator(".jp-OutputArea")
    expect(said).to_contain_text("Drain it there first.", timeout=LONG)
    expect(said).to_contain_text("a node of another cluster")
    assert "Traceback" not in said.inner_text()
    look(page, tmp_path)


@pytest.mark.parametrize(("answer", "there"), [("no", ""), ("yes", "d\n")])
def test_a_site_that_wants_it_is_asked_before_it_is_changed(
    page: Page, house: House, node: Node, tmp_path: Path, answer: str, there: str
) -> None:
    cells = opened(page, house, house.notebook(f"asks-{answer}", 'nodes.run(Written("d"))', site="parameters/asking"))
    run_all(page)
    question = cells.nth(1).locator(".jp-Stdin-input")
    expect(question).to_be_visible(timeout=LONG)
    expect(cells.nth(1)).to_contain_text("Do this to One machine (spare)?")
    expect(cells.nth(1)).to_contain_text("planned")
    assert on(node, f"ls {FOLDER}") == ""
    look(page, tmp_path)
    question.fill(answer)
    question.press("Enter")
    expect(cells.nth(1)).to_contain_text("Nothing was changed" if answer == "no" else "changed", timeout=LONG)
    assert on(node, f"ls {FOLDER}") == there
