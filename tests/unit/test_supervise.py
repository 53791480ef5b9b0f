"""Who ends by an error is missed: tasks, threads, callbacks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from oobconsole import supervise
from oobconsole.events import Event, Events, Kind
from oobconsole.log.log import LogLimit
from oobconsole.supervise import Tasks
from tests.support.aio import soon, until
from tests.support.pace import scaled
from tests.support.sync import eventually


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(supervise, "_limit", LogLimit(20))
    monkeypatch.setattr(supervise, "AGAIN_FIRST", 0.01)
    supervise.listeners.append(lambda name, reason: seen.append((name, reason)))
    before = supervise.ended.copy()
    yield seen
    supervise.listeners.pop()
    supervise.ended.clear()
    supervise.ended.update(before)


async def fails() -> None:
    raise ValueError("no")


async def test_a_task_that_ends_by_an_error_is_told(told: list[tuple[str, str]]) -> None:
    """faults.md 22's kind: an exception that nobody reads."""
    tasks = Tasks()
    with capture_logs() as logs:
        tasks.start(fails(), "monitor of web1")
        await until(lambda: bool(told), lambda: told)
    assert told == [("monitor of web1", "ValueError('no')")]
    assert [entry["part"] for entry in logs] == ["monitor of web1"]
    assert len(tasks) == 0


async def test_one_that_is_cancelled_or_ends_well_is_not(told: list[tuple[str, str]]) -> None:
    tasks = Tasks()
    tasks.start(asyncio.sleep(0), "well")
    tasks.start(asyncio.Event().wait(), "cancelled")
    await tasks.wait(0.05)
    await tasks.stop()
    assert (len(tasks), told) == (0, [])


async def test_what_never_ends_is_begun_again(told: list[tuple[str, str]]) -> None:
    ends = iter([ValueError("first"), None, OSError("third")])
    lives = asyncio.Event()

    async def runs() -> None:
        end = next(ends, StopIteration)
        if isinstance(end, Exception):
            raise end
        if end is StopIteration:
            lives.set()
            await asyncio.Event().wait()

    tasks = Tasks()
    tasks.forever(runs, "vitals")
    await soon(lives.wait())
    await tasks.stop()
    assert [reason for _, reason in told] == ["ValueError('first')", "it ended by itself", "OSError('third')"]


def test_a_thread_is_begun_again(told: list[tuple[str, str]]) -> None:
    ends = iter([ValueError("first"), None])
    ended = threading.Event()

    def runs() -> None:
        if error := next(ends):
            raise error
        ended.set()

    supervise.thread(runs, name="audit", forever=True)
    assert ended.wait(scaled(10))
    assert told == [("audit", "ValueError('first')")]


async def test_what_nobody_owns_is_told_as_well(told: list[tuple[str, str]]) -> None:
    loop = asyncio.get_running_loop()
    before = threading.excepthook
    supervise.watch_loop(loop)
    try:
        loop.call_soon(lambda: int("x"))
        await until(lambda: len(told) == 1, lambda: told)
        threading.Thread(target=int, args=("y",), name="a library's").start()
        await asyncio.to_thread(eventually, lambda: len(told) == 2, lambda: told)
    finally:
        threading.excepthook = before
        loop.set_exception_handler(None)
    assert told[1][0] == "a library's"
    assert "'y'" in told[1][1]


def test_a_sink_of_events_that_fails_ends_nobody(told: list[tuple[str, str]]) -> None:
    events, seen = Events(), list[Event]()

    def bad(event: Event) -> None:
        raise OSError("full")

    events.add_sink(bad)
    events.add_sink(seen.append)
    events.emit(Kind.LOGIN)
    assert [event.kind for event in seen] == [Kind.LOGIN]
    assert told == [("events", "OSError('full')")]


def test_a_listener_that_fails_hides_nothing() -> None:
    def bad(name: str, reason: str) -> None:
        raise OSError("gone")

    supervise.listeners.append(bad)
    try:
        with capture_logs() as logs:
            supervise.tell("a part", ValueError("no"))
    finally:
        supervise.listeners.remove(bad)
        supervise.ended.pop("a part", None)
    assert [entry["event"] for entry in logs][-1] == "nobody could be told of it"
