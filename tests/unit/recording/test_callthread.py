"""One thread that makes calls in order, and tells the event loop what became of each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from oobconsole.recording.callthread import CallThread, Result
from tests.support.aio import soon, until


@pytest.fixture
def thread() -> Iterator[CallThread]:
    made = CallThread("a test's")
    yield made
    made.stop()


async def test_calls_are_made_in_order_in_a_thread_of_that_name(thread: CallThread) -> None:
    told: list[Result[tuple[int, str]]] = []
    for number in range(10):
        thread.call(lambda number=number: (number, threading.current_thread().name), told.append)  # type: ignore[misc]
    await until(lambda: len(told) == 10, lambda: told)
    assert told == [Result((number, "a test's")) for number in range(10)]


async def test_an_error_is_the_calls_own(thread: CallThread) -> None:
    with pytest.raises(ZeroDivisionError):
        await soon(thread.run(lambda: 1 // 0))
    assert await soon(thread.run(lambda: 1)) == 1


async def test_whoever_waited_may_go(thread: CallThread) -> None:
    goes_on = threading.Event()
    waiting = asyncio.ensure_future(thread.run(partial(goes_on.wait, 20)))
    await asyncio.sleep(0)
    waiting.cancel()
    goes_on.set()
    assert await soon(thread.run(lambda: "the next")) == "the next"


async def test_calls_that_wait_are_given_up_at_the_end(thread: CallThread) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    made: list[object] = []

    def waits() -> bool:
        begun.set()
        return goes_on.wait(20)

    first = asyncio.ensure_future(thread.run(waits))
    await until(begun.is_set, lambda: "the thread has begun")
    thread.call(partial(made.append, "late"), made.append)
    thread.stop()
    goes_on.set()
    assert await soon(first)
    assert made == []
