"""When a guest waits for its readers, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole.console import pace
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice, Reader
from tests.support.aio import soon, until
from tests.support.pace import scaled

SCROLLBACK = 1024


class Guest:
    """Prints while it may."""

    def __init__(self) -> None:
        self.console = Console("web1", scrollback=SCROLLBACK)
        self.held = False
        self.console.bind(None, None, self._hold)

    def _hold(self, held: bool) -> None:
        assert held is not self.held
        self.held = held

    def print(self, size: int) -> None:
        """In pieces such as a line brings."""
        for _ in range(0, size, SCROLLBACK // 4):
            if self.held:
                return
            self.console.output(b"x" * (SCROLLBACK // 4))


async def read(reader: Reader, size: int) -> None:
    item = await soon(reader.next(size))
    assert not isinstance(item, Notice)
    assert len(item) == size


async def test_it_waits_for_a_reader_that_is_far_behind_until_that_is_near() -> None:
    guest = Guest()
    reader = guest.console.attach()
    guest.print(SCROLLBACK // 2)
    assert not guest.held
    guest.print(SCROLLBACK)
    assert guest.held
    await read(reader, SCROLLBACK // 4)
    assert guest.held
    await read(reader, SCROLLBACK // 4)
    assert not guest.held


async def test_everybody_has_to_come_near() -> None:
    guest = Guest()
    readers = [guest.console.attach() for _ in range(3)]
    guest.print(SCROLLBACK)
    for reader in readers[:2]:
        await read(reader, 3 * SCROLLBACK // 4)
    assert guest.held
    await read(readers[2], SCROLLBACK // 2)
    assert not guest.held


async def test_it_waits_for_nobody_who_leaves() -> None:
    guest = Guest()
    reader = guest.console.attach()
    guest.print(SCROLLBACK)
    reader.close()
    assert not guest.held


@pytest.mark.parametrize("alone", [False, True])
async def test_it_waits_once_for_a_reader_that_has_stopped_until_that_has_caught_up(
    monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """Not as long when it is seen that others take something."""
    monkeypatch.setattr(pace, "TURN_SECONDS", scaled(0.05))
    monkeypatch.setattr(pace, "TURNS_MAX", 3 if alone else 10**9)
    guest = Guest()
    stopped, other = guest.console.attach(), guest.console.attach()
    guest.print(SCROLLBACK)
    if alone:
        other.close()
    else:
        await read(other, 3 * SCROLLBACK // 4)
    assert guest.held
    await until(lambda: not guest.held, lambda: guest.held)
    for _ in range(8):
        guest.print(SCROLLBACK // 2)
        assert not guest.held
        if not alone:
            await read(other, SCROLLBACK // 2)
    notice = await soon(stopped.next())
    assert isinstance(notice, Notice)
    assert notice.kind == "skipped"
    await read(stopped, SCROLLBACK)
    guest.print(SCROLLBACK)
    assert guest.held


async def test_nobody_is_slow_while_nobody_takes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the machine that is busy."""
    monkeypatch.setattr(pace, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(pace, "TURNS_MAX", 10**9)
    guest = Guest()
    readers = [guest.console.attach() for _ in range(2)]
    guest.print(SCROLLBACK)
    await asyncio.sleep(0.05)
    assert guest.held
    for reader in readers:
        await read(reader, 3 * SCROLLBACK // 4)
        assert reader.keeps_up
    assert not guest.held


async def test_who_takes_a_little_has_more_time_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "TURN_SECONDS", scaled(0.05))
    guest = Guest()
    reader = guest.console.attach()
    guest.print(SCROLLBACK)
    while guest.held:
        await read(reader, 1)
        await asyncio.sleep(0.005)
    assert not reader.keeps_up
    assert guest.console.end - reader.position > SCROLLBACK // 4


async def test_one_that_stops_later_than_others_have_caught_up_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its sockets took in the first turn does not count in the next, in which nobody else takes anything."""
    monkeypatch.setattr(pace, "TURN_SECONDS", scaled(0.05))
    monkeypatch.setattr(pace, "TURNS_MAX", 10**9)
    guest = Guest()
    stopped, other = guest.console.attach(), guest.console.attach()
    guest.print(SCROLLBACK)
    await read(stopped, 1)
    await read(other, 3 * SCROLLBACK // 4)
    await until(lambda: not guest.held, lambda: guest.held)
    assert not stopped.keeps_up


async def test_a_new_line_is_not_held() -> None:
    guest = Guest()
    guest.console.attach()
    guest.print(SCROLLBACK)
    guest.console.bind(None)
    assert not guest.held
    guest.print(4 * SCROLLBACK)
    assert not guest.held
