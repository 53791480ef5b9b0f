"""Who holds the event loop is found, and named."""

from __future__ import annotations

import asyncio
import time

import pytest

from oobconsole import watchdog
from tests.support.aio import until


def spin(seconds: float) -> None:
    """Use so much processor time."""
    until_then = time.thread_time() + seconds
    while time.thread_time() < until_then:
        pass


async def test_what_holds_the_loop_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """security.md 4: a verb that holds the loop is in the log, with its task and function."""
    found = watchdog.Watchdog()
    found.start()

    async def hold() -> None:
        spin(3 * watchdog.ASK_SECONDS)

    await asyncio.create_task(hold(), name="session of mallory: ls")
    await until(lambda: found.held > 0, lambda: found.longest)
    found.stop()
    assert found.longest >= watchdog.ASK_SECONDS
    said = capsys.readouterr().out
    assert "something held the event loop" in said
    assert "session of mallory: ls" in said
    assert "spin (test_watchdog.py" in said


async def test_what_it_says_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    """security.md 4, variation: a stranger who knows how to hold a front's loop does not fill the log with that."""
    found = watchdog.Watchdog()
    for _ in range(1000):
        found._was_held(1.0, "somewhere", "")
    assert found.held == 1000
    said = capsys.readouterr().out
    assert said.count("something held the event loop") == watchdog._LOG_LINES
    assert said.count("more of this is not logged") == 1


async def test_a_loop_that_only_waits_is_not_held() -> None:
    """A busy machine is nobody's fault here: processor time counts."""
    found = watchdog.Watchdog()
    found.start()
    time.sleep(3 * watchdog.ASK_SECONDS)  # noqa: ASYNC251 - the loop waits without using the processor
    await until(lambda: True, lambda: None)
    found.stop()
    assert found.held == 0
