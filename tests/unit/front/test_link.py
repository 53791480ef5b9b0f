"""A front's side of the relay, when the front's own process is in trouble."""

from __future__ import annotations

from oobconsole import supervise
from oobconsole.front.frames import Frame, FromCore
from oobconsole.front.link import Link
from tests.support.aio import soon


class CannotSettle:
    """A server that cannot serve by the settings that it gets, because no thread can be started, for example."""

    async def settle(self, settings: bytes) -> None:
        raise RuntimeError("can't start new thread")

    def set_room(self, room: bool) -> None: ...

    async def stop(self) -> None: ...


async def test_a_front_that_cannot_take_its_settings_ends() -> None:
    """security.md 29, variation: the core waited for it without an end, at the start and at reloads, and the front
    went on with settings that count no more."""
    link = Link(lambda: None)
    link.server = CannotSettle()
    link._on_settings(Frame(FromCore.SETTINGS, 1, b""))
    await soon(link.stopped.wait())
    assert supervise.ended.pop("new settings of a front") == 1
