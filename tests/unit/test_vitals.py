"""What the server counts about itself."""

from __future__ import annotations

import asyncio
import resource
import time

import pytest
from structlog.testing import capture_logs

from oobconsole import vitals
from oobconsole.events import Events, Kind
from oobconsole.ops.health import faults
from oobconsole.recording.trouble import Trouble
from tests.support.aio import until


def test_events_are_counted_by_kind() -> None:
    events = Events()
    seen = vitals.Vitals(events).seen
    events.emit(Kind.LOGIN)
    events.emit(Kind.LOGIN)
    events.emit(Kind.DENIED)
    assert (seen[Kind.LOGIN], seen[Kind.DENIED], seen[Kind.LOGOUT]) == (2, 1, 0)


def test_a_console_that_cannot_be_recorded_is_unhealthy_under_a_strict_policy_only() -> None:
    found, trouble = vitals.Vitals(Events()), Trouble()
    trouble.stopped("web1", "the disk is full")
    assert faults(found, trouble, "best_effort") == []
    assert "web1: the disk is full" in faults(found, trouble, "strict")[0]
    trouble.over("web1")
    assert faults(found, trouble, "strict") == []


async def test_a_loop_that_was_held_up_shows_it() -> None:
    found = vitals.Vitals(Events())
    task = asyncio.create_task(found.run())
    await asyncio.sleep(0)
    time.sleep(vitals.INTERVAL + 1.2)  # noqa: ASYNC251 - holding up the loop is what is tested
    await until(lambda: found.worst_lag > 1, lambda: found.worst_lag)
    assert "event loop" in faults(found, Trouble(), "best_effort")[0]
    task.cancel()


async def test_too_few_descriptors_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 25's kind: where they are used up connections are closed at once, and nothing said why."""
    found = vitals.Vitals(Events())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (5, 5))
    with capture_logs() as logs:
        task = asyncio.create_task(found.run())
        await until(lambda: found.descriptors != "", lambda: found.descriptors)
        task.cancel()
    assert found.descriptors.endswith("of 5 are open")
    assert "too few descriptors" in faults(found, Trouble(), "best_effort")[0]
    assert "raise LimitNOFILE" in logs[0]["event"]
