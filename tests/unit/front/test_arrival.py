"""When keys came, as a visitor tells its session: what was pasted at once is told from what was typed."""

from __future__ import annotations

import pytest

from oobconsole.front import visitor as module
from oobconsole.front.frames import Opening
from oobconsole.front.reception import WINDOW
from oobconsole.front.visitor import Visitor
from tests.support.clock import Clock, stopped
from tests.unit.front.fakes import FakeClient


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stopped(monkeypatch, module)


def opened() -> Visitor:
    """A session that a client has begun."""
    return Visitor(Opening(), FakeClient(), lambda _: None, window=WINDOW)


async def test_a_pause_is_between_arrivals_however_late_they_are_read(clock: Clock) -> None:
    visitor = opened()
    visitor.typed(b"text", clock.now)
    clock.now += 5
    assert await visitor.read() == b"text"
    visitor.typed(b"~", clock.now)
    clock.now += 7
    visitor.typed(b".", clock.now)
    assert await visitor.read() == b"~."
    assert visitor.pause == 5
    clock.now += 0.25
    visitor.typed(b"x", clock.now)
    assert (await visitor.read(), visitor.pause) == (b"x", 0.25)


async def test_what_a_client_could_not_send_comes_without_a_pause(clock: Clock) -> None:
    visitor = opened()
    visitor.typed(b"x" * WINDOW, clock.now)
    clock.now += 5
    await visitor.read()
    clock.now += 1
    visitor.typed(b"~.", clock.now)
    assert (await visitor.read(), visitor.pause) == (b"~.", 0)
    clock.now += 2
    visitor.typed(b"y", clock.now)
    assert (await visitor.read(), visitor.pause) == (b"y", 2)


async def test_what_was_put_back_comes_without_a_pause(clock: Clock) -> None:
    visitor = opened()
    visitor.typed(b"text", clock.now)
    clock.now += 5
    assert await visitor.read() == b"text"
    visitor.put_back(b"xt")
    assert (await visitor.read(), visitor.pause) == (b"xt", 0)


async def test_the_time_is_that_of_the_arrival_at_the_front(clock: Clock) -> None:
    """However late the core is to hear of it; and no front is believed that something came in the future."""
    visitor = opened()
    visitor.typed(b"a", clock.now - 3)
    assert await visitor.read() == b"a"
    visitor.typed(b"b", clock.now - 1)
    assert (await visitor.read(), visitor.pause) == (b"b", 2)
    visitor.typed(b"c", clock.now + 100)
    assert (await visitor.read(), visitor.pause) == (b"c", 1)
