"""Who has the keyboard, and for how long without typing. (What people see of it: tests/loopback/test_roles.py.)"""

from __future__ import annotations

import time

from oobconsole.access import Principal
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.events import Kind
from oobconsole.session.room import Member, Room
from oobconsole.session.services import Services
from tests.support.aio import soon, until
from tests.unit.session.fakes import consoles


def room(settings: Services, idle_minutes: int) -> Room[Console]:
    found = settings.seats.room(next(settings.directory.consoles()))
    limit(found, idle_minutes)
    return found


def limit(room: Room[Console], idle_minutes: int) -> None:
    """As `reload` does."""
    console = room.place
    console.settings = console.settings.model_copy(update={"idle_minutes": idle_minutes})
    room.recheck()


def alice(room: Room[Console]) -> Member:
    return room.join(Principal("alice", local=True), room.place.attach(), watch=False)


def typed_ago(member: Member, seconds: float) -> None:
    member.typed_at = time.monotonic() - seconds


async def somebody_else_is_idle() -> None:
    """From now on, and found so: whatever was to be found before has been."""
    at = room(consoles("other"), 0)
    typed_ago(alice(at), 59.8)
    limit(at, 1)
    await until(lambda: at.holder is None, lambda: at.who())


async def told(member: Member) -> str:
    assert isinstance(member.reader, Reader)
    item = await soon(member.reader.next())
    assert isinstance(item, Notice)
    return item.text


class TestIdle:
    async def test_who_types_nothing_puts_the_keyboard_down_and_is_told(self) -> None:
        at = room(consoles("web1"), 0)
        holder = alice(at)
        watcher = at.join(Principal("bob", local=True), at.place.attach(), watch=True)
        typed_ago(holder, 59.9)
        limit(at, 1)
        assert at.holder is holder
        await until(lambda: at.holder is None, lambda: at.who())
        assert await told(holder) == "bob is attached"
        assert await told(holder) == "you typed nothing for 1 min: the keyboard is free, and you watch"
        assert await told(watcher) == "the keyboard is free"
        assert not at.may_type(watcher)

    async def test_typing_counts(self) -> None:
        at = room(consoles("web1"), 0)
        holder = alice(at)
        typed_ago(holder, 59.9)
        limit(at, 1)
        at.typed(holder)
        await somebody_else_is_idle()
        assert at.holder is holder

    async def test_another_limit_counts_at_once(self) -> None:
        """Both a shorter one, and a longer one while the timer of a shorter one runs."""
        at = room(consoles("web1"), 10)
        holder = alice(at)
        typed_ago(holder, 59.9)
        limit(at, 1)
        limit(at, 10)
        await somebody_else_is_idle()
        assert at.holder is holder
        limit(at, 1)
        await until(lambda: at.holder is None, lambda: at.who())

    async def test_whoever_comes_next_has_all_of_it(self) -> None:
        settings = consoles("web1")
        at = room(settings, 0)
        first = alice(at)
        second = at.join(Principal("bob", local=True), at.place.attach(), watch=True)
        at.ask(second)
        typed_ago(first, 59.9)
        limit(at, 1)
        with settings.events.subscribe() as events:
            at.hand_over(first)
            assert (await soon(events.next())).kind is Kind.KEYBOARD
            await somebody_else_is_idle()
        assert at.holder is second
