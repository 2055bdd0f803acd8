"""Groups of nodes: results for all, none in the way of another, and Ctrl-C for all of them."""

from __future__ import annotations

import _thread
import contextvars
import threading

import pytest

from pic4ser_lib.errors import HostError
from pic4ser_lib.host import in_parallel, once
from pic4ser_lib.host.parallel import current_stop


def test_every_task_has_its_result_in_order() -> None:
    names = [f"node{n}" for n in range(25)]
    results = in_parallel({name: (lambda name=name: name.upper()) for name in names}, cap=4)  # type: ignore[misc]
    assert list(results.items()) == [(name, name.upper()) for name in names]


def test_an_error_is_a_result_and_stops_nobody() -> None:
    def bad() -> str:
        raise HostError(node="kitt", seen="broken")

    results = in_parallel({"bonnie": lambda: "ok", "kitt": bad, "rover": lambda: "ok"})
    assert str(results.pop("kitt")) == "kitt: broken"
    assert results == {"bonnie": "ok", "rover": "ok"}


def test_a_task_that_leaves_the_process_is_an_error_of_that_task() -> None:
    def leaves() -> str:
        raise SystemExit(3)

    assert isinstance(in_parallel({"a": leaves})["a"], Exception)


def test_no_task_is_no_result() -> None:
    assert in_parallel({}) == {}


@pytest.mark.parametrize("cap", [1, 3])
def test_at_most_cap_run_at_once(cap: int) -> None:
    running, most = 0, 0
    lock, meet = threading.Lock(), threading.Barrier(cap)

    def task() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        meet.wait(timeout=20)
        with lock:
            running -= 1

    results = in_parallel({str(n): task for n in range(cap * 3)}, cap=cap)
    assert set(results.values()) == {None}
    assert most == cap


def test_a_task_sees_the_callers_context() -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    word.set("said before")
    assert in_parallel({"a": word.get}) == {"a": "said before"}


class Channel:
    """Something that is waited for until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_ctrl_c_closes_what_is_open_and_starts_nothing_more() -> None:
    channel, begun = Channel(), []

    def waits() -> None:
        begun.append("waits")
        current_stop().add(channel)
        _thread.interrupt_main()
        assert channel.closed.wait(20)
        current_stop().check()
        begun.append("went on")

    with pytest.raises(KeyboardInterrupt):
        in_parallel({"a": waits, "b": lambda: begun.append("second")}, cap=1)
    assert begun == ["waits"]


def test_after_ctrl_c_nothing_can_be_opened_by_a_thread_of_the_group() -> None:
    stopped, seen = threading.Event(), []

    def tries() -> None:
        stop = current_stop()
        _thread.interrupt_main()
        while not stop.asked:
            stopped.wait(0.01)
        try:
            stop.add(Channel())
        except KeyboardInterrupt:
            seen.append("stopped")
            raise

    with pytest.raises(KeyboardInterrupt):
        in_parallel({"a": tries})
    assert seen == ["stopped"]


def test_outside_a_group_nothing_is_stopped() -> None:
    current_stop().check()


# ---------------------------------------------------------------------------------------- the password


def test_once_asks_one_time_and_again_after_forgetting() -> None:
    answers = iter(["first", "second"])
    password = once(lambda: next(answers))
    assert [password(), password()] == ["first", "first"]
    password.forget()
    assert password() == "second"


def test_a_password_shows_nowhere_and_does_not_travel() -> None:
    import pickle

    password = once(lambda: "hunter2")
    password()
    assert "hunter2" not in repr(password) + str(password)
    with pytest.raises(TypeError, match="does not travel"):
        pickle.dumps(password)
