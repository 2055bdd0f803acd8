"""The journal: what is written stays as it was written, or the reader is told."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pic4ser_lib import journal
from pic4ser_lib.errors import PicError
from pic4ser_lib.journal import Journal, JournalFailed, State, secrets
from pic4ser_lib.journal.chain import chained


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins knowing no secret."""
    monkeypatch.setattr(secrets, "_secrets", set())


@pytest.fixture
def three_lines(tmp_path: Path) -> Path:
    """A journal of three entries."""
    path = tmp_path / "journal" / "01-kitt.jsonl"
    writer = Journal(path)
    for step in ("swap.off", "kernel.loaded", "packages.held"):
        writer.write({"event": "record", "step": step, "seen": "früher\nspäter"})
    writer.close()
    return path


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_what_was_written_is_read_back_in_order_with_number_and_time(three_lines: Path) -> None:
    entries = [json.loads(line) for line in lines(three_lines)]
    assert [(e["n"], e["step"]) for e in entries] == [(1, "swap.off"), (2, "kernel.loaded"), (3, "packages.held")]
    assert all(e["time"].endswith("Z") and e["seen"] == "früher\nspäter" for e in entries)


def test_an_untouched_journal_is_ok(three_lines: Path) -> None:
    verdict = journal.verify(three_lines)
    assert (verdict.state, verdict.head.count, verdict.good) == (State.OK, 3, True)
    assert str(verdict) == "01-kitt.jsonl: 3 lines, as they were written"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_edit_is_found_at_its_line(three_lines: Path, number: int) -> None:
    edited = lines(three_lines)
    edited[number - 1] = edited[number - 1].replace(b'"event"', b'"Event"')
    three_lines.write_bytes(b"".join(edited))
    verdict = journal.verify(three_lines)
    assert (verdict.state, verdict.line, verdict.good) == (State.EDITED, number, False)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2], [1, 2], [0, 1, 1, 2]])
def test_lines_moved_removed_or_doubled_are_edits(three_lines: Path, order: list[int]) -> None:
    whole = lines(three_lines)
    three_lines.write_bytes(b"".join(whole[i] for i in order))
    assert journal.verify(three_lines).state is State.EDITED


@pytest.mark.parametrize("change", [b'{"n":4}\n', b"\n", b"not json\n", b"\xff\xfe\n"])
def test_a_line_that_was_added_is_an_edit(three_lines: Path, change: bytes) -> None:
    three_lines.write_bytes(three_lines.read_bytes() + change)
    assert (journal.verify(three_lines).state, journal.verify(three_lines).line) == (State.EDITED, 4)


def test_any_single_byte_that_is_changed_is_found(three_lines: Path) -> None:
    data = three_lines.read_bytes()
    for place in range(len(data) - 1):  # the last newline is the torn case
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        assert journal.verify_bytes(changed, "x").state is State.EDITED, f"byte {place}"


def test_a_torn_last_line_is_called_torn_wherever_it_is_torn(three_lines: Path) -> None:
    data = three_lines.read_bytes()
    start = data[:-1].rfind(b"\n") + 1
    for end in range(start + 1, len(data)):
        verdict = journal.verify_bytes(data[:end], "x")
        assert (verdict.state, verdict.line, verdict.head.count) == (State.TORN, 3, 2)
        assert verdict.good


def test_an_empty_journal_is_ok_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert journal.verify(tmp_path / "empty.jsonl").state is State.OK
    assert journal.verify(tmp_path / "none.jsonl").state is State.MISSING


def test_a_torn_journal_is_continued_and_says_so(three_lines: Path) -> None:
    three_lines.write_bytes(three_lines.read_bytes()[:-7])
    writer = Journal(three_lines)
    writer.write({"event": "end", "ok": True})
    writer.close()
    assert [json.loads(line)["event"] for line in lines(three_lines)] == ["record", "record", "torn", "end"]
    assert journal.verify(three_lines).state is State.OK


def test_an_edited_journal_is_not_continued(three_lines: Path) -> None:
    edited = three_lines.read_bytes().replace(b"swap.off", b"swap.xxx")
    three_lines.write_bytes(edited)
    with pytest.raises(JournalFailed, match="edited at line 1"):
        Journal(three_lines).write({"event": "end"})
    assert three_lines.read_bytes() == edited


def test_a_second_writer_of_one_file_is_refused(three_lines: Path) -> None:
    first = Journal(three_lines)
    first.write({"event": "a"})
    with pytest.raises(JournalFailed, match="another process is writing it"):
        Journal(three_lines).write({"event": "b"})
    first.close()


def test_threads_share_a_journal(tmp_path: Path) -> None:
    writer = Journal(tmp_path / "j.jsonl")
    threads = [threading.Thread(target=writer.write, args=({"event": "record", "i": i},)) for i in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert journal.verify(writer.path).head.count == 40
    assert journal.verify(writer.path).state is State.OK


def test_an_entry_cannot_forge_number_time_or_hash(tmp_path: Path) -> None:
    writer = Journal(tmp_path / "j.jsonl")
    writer.write({"n": 9, "time": "never", "hash": "0" * 64, "event": "x"})
    writer.close()
    assert journal.verify(writer.path).state is State.OK
    assert json.loads(writer.path.read_text())["n"] == 1


def test_ctrl_c_in_the_middle_of_a_line_is_heard_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Journal(tmp_path / "01.jsonl")
    kept.write({"event": "before"})
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        kept.write({"event": "proven"})
    monkeypatch.undo()
    kept.write({"event": "after"})
    assert [json.loads(line)["event"] for line in lines(kept.path)] == ["before", "proven", "after"]
    assert journal.verify(kept.path).good


def write_for_ever(path: Path) -> None:
    writer = Journal(path)
    while True:
        writer.write({"event": "record", "text": "x" * 3000})


def test_what_a_killed_process_wrote_is_ok_or_torn(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    process = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(path,))
    process.start()
    while not path.exists() or path.stat().st_size < 50_000:
        process.join(0.01)
        assert process.is_alive()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert journal.verify(path).good


FULL = """
import resource, signal, sys
from pathlib import Path
from pic4ser_lib.journal import Journal, JournalFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
writer = Journal(Path(sys.argv[1]))
try:
    for n in range(100):
        writer.write({"event": "record", "text": "x" * 400})
except JournalFailed as error:
    print(n, error)
"""


def test_no_room_is_a_sentence_and_leaves_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True, check=True, cwd=root)
    assert ran.stdout.startswith("2 journal ")
    assert "File too large" in ran.stdout
    assert (journal.verify(path).state, journal.verify(path).head.count) == (State.OK, 2)


# ---------------------------------------------------------------------------------------------- secrets


def test_a_secret_is_not_in_the_file_in_any_of_its_forms(tmp_path: Path) -> None:
    secret = 'q"7:\nsecond-line-ä\\x'
    journal.register_secret(secret)
    writer = Journal(tmp_path / "j.jsonl")
    encoded = base64.b64encode(secret.encode()).decode()
    writer.write({"a": f"it is {secret}!", "b": [secret, {"c": encoded}], secret: 1, "d": ("second-line-ä\\x",)})
    writer.close()
    text = writer.path.read_text()
    assert "second-line" not in text
    assert encoded not in text
    assert json.loads(text)["b"] == [journal.REDACTED, {"c": journal.REDACTED}]


def test_a_secret_that_is_part_of_another_leaves_no_rest(tmp_path: Path) -> None:
    journal.register_secret("abcdef")
    journal.register_secret("abcdef.0123456789abcdef")
    writer = Journal(tmp_path / "j.jsonl")
    writer.write({"token": "abcdef.0123456789abcdef"})
    writer.close()
    assert json.loads(writer.path.read_text())["token"] == journal.REDACTED


def test_an_empty_secret_changes_nothing() -> None:
    journal.register_secret("")
    journal.register_secret("\n")
    assert secrets.known() == ()


# ------------------------------------------------------------------------------------------------- seal


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, str]:
    """A run's folder with two journals, and its seal."""
    for name in ("01-bonnie", "01-kitt"):
        writer = Journal(tmp_path / "journal" / f"{name}.jsonl")
        writer.write({"event": "record", "node": name})
        writer.write({"event": "end", "ok": True})
        writer.close()
    return tmp_path, journal.write_run(tmp_path, {"site": "lab", "succeeded": True})


def forge(path: Path) -> None:
    """Edit the first line and recompute the whole chain, as somebody would who knows the format."""
    entries = [json.loads(line) for line in lines(path)]
    entries[0]["node"] = "nobody"
    before, text = "0" * 64, b""
    for entry in entries:
        entry.pop("hash")
        line, before = chained(entry, before)
        text += line
    path.write_bytes(text)


def test_a_run_as_it_was_written_is_good_with_its_seal(run: tuple[Path, str]) -> None:
    folder, seal = run
    assert [v.state for v in journal.verify_run(folder, seal=seal)] == [State.OK, State.OK, State.OK]
    assert json.loads((folder / "run.json").read_text())["seal"] == seal
    assert journal.seal((folder / "journal").glob("*.jsonl")) == seal


def test_an_edit_that_was_recomputed_is_found_by_run_json(run: tuple[Path, str]) -> None:
    folder, _ = run
    forge(folder / "journal" / "01-kitt.jsonl")
    assert journal.verify(folder / "journal" / "01-kitt.jsonl").state is State.OK
    assert [v.state for v in journal.verify_run(folder)] == [State.OK, State.UNSEALED]


def test_an_edit_that_was_recomputed_in_run_json_too_is_found_by_the_seal(run: tuple[Path, str]) -> None:
    folder, seal = run
    forge(folder / "journal" / "01-kitt.jsonl")
    journal.write_run(folder, {"site": "lab"})
    assert all(v.good for v in journal.verify_run(folder))
    assert journal.verify_run(folder, seal=seal)[-1].state is State.UNSEALED


def test_lines_cut_off_the_end_are_found(run: tuple[Path, str]) -> None:
    folder, seal = run
    path = folder / "journal" / "01-kitt.jsonl"
    path.write_bytes(lines(path)[0])
    assert journal.verify(path).state is State.OK
    assert [v.good for v in journal.verify_run(folder, seal=seal)] == [True, False, False]


@pytest.mark.parametrize("name", ["01-kitt.jsonl", "02-new.jsonl"])
def test_a_journal_taken_away_or_put_there_is_found(run: tuple[Path, str], name: str) -> None:
    folder, _ = run
    path = folder / "journal" / name
    if path.exists():
        path.unlink()
    else:
        path.write_bytes((folder / "journal" / "01-kitt.jsonl").read_bytes())
    found = {v.head.name: v.state for v in journal.verify_run(folder)}
    assert found[name] in (State.MISSING, State.UNSEALED)


def test_a_torn_journal_is_sealed_as_far_as_it_is_whole(run: tuple[Path, str]) -> None:
    folder, _ = run
    path = folder / "journal" / "01-kitt.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    seal = journal.write_run(folder, {})
    assert [v.state for v in journal.verify_run(folder, seal=seal)] == [State.OK, State.TORN, State.OK]


def test_run_json_is_redacted_and_replaced_whole(tmp_path: Path) -> None:
    journal.register_secret("hunter2-and-more")
    journal.write_run(tmp_path, {"stopped": "hunter2-and-more"})
    journal.write_run(tmp_path, {"stopped": "again hunter2-and-more"})
    assert json.loads((tmp_path / "run.json").read_text())["stopped"] == f"again {journal.REDACTED}"
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_its_error_is_one_of_ours() -> None:
    assert issubclass(JournalFailed, PicError)
