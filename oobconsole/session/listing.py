"""Verbs that say what there is and what happens: ls, who, events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, TypedDict

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.events import Event, Kind
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.room import Room
from oobconsole.session.safe import eased, next_slice
from oobconsole.words import as_json

#: Consoles, and their machines' names.
Found = Sequence[tuple[Console, str]]
#: Rows that are made in one slice, of consoles or of people.
ROWS_A_SLICE: Final = 16


class _Row(TypedDict):
    """What `ls` says of a console."""

    console: str
    state: str
    reason: str
    machine: str
    attached: int
    keyboard: str
    idle_s: float | None
    offset: int
    unrecorded: str
    last_line: str


def _idle(console: Console) -> float | None:
    return None if console.printed_at is None else time.monotonic() - console.printed_at


def shown_idle(console: Console) -> str:
    """How long ago the guest printed last, in a few characters."""
    return _in_words(_idle(console))


def _in_words(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


async def handle_ls(request: Request) -> ExitStatus:
    """The consoles at which the user has any right."""
    found = await request.consoles.visible(request.who)
    if request.args.names:
        return await request.print(console.name for console, _ in found)
    if request.args.json:
        return await request.print_json(_rows(request, found))
    if not found:
        await request.peer.tell(
            "there is no console at which you have any right; a [[grant]] of the server gives them"
        )
        return ExitStatus.OK
    for console, _ in found:
        if reason := request.consoles.vitals.unrecorded.get(console.name):
            await request.peer.tell(f"{console.name} is not recorded: {reason}")
    return await request.print_as_made(_table(request, found))


async def _table(request: Request, found: Found) -> AsyncIterator[str]:
    width = max(len("CONSOLE"), *(len(console.name) for console, _ in found))
    yield f"{'CONSOLE':<{width}}  STATE    ATTACHED  KEYBOARD    OUTPUT  MACHINE     LAST LINE"
    async for row in _rows(request, found):
        yield (
            f"{row['console']:<{width}}  {row['state']:<7}  {row['attached']:>8}  {row['keyboard'] or '-':<10}  "
            f"{_in_words(row['idle_s']):>6}  {row['machine']:<10}  {row['last_line']}".rstrip()
        )


async def _rows(request: Request, found: Found) -> AsyncIterator[_Row]:
    async for console, machine in eased(found, ROWS_A_SLICE):
        yield await _row(request, console, machine)


async def _row(request: Request, console: Console, machine: str) -> _Row:
    consoles = request.consoles
    may_read = consoles.access.may(request.who, Right.WATCH, console.name)
    last = await consoles.last_lines.look(console) if may_read else ""
    room = consoles.rooms.get(console.name)
    idle = _idle(console)
    return {
        "console": console.name,
        "state": console.state.name.lower(),
        "reason": console.reason,
        "machine": machine,
        "attached": console.attached,
        "keyboard": room.holder.who.name if room and room.holder else "",
        "idle_s": None if idle is None else round(idle, 3),
        "offset": console.end,
        "unrecorded": consoles.vitals.unrecorded.get(console.name, ""),
        "last_line": last,
    }


async def handle_who(request: Request) -> ExitStatus:
    """Everybody at the consoles that the user may watch."""
    if request.args.json:
        return await request.print_json(
            {
                "console": room.console.name,
                "user": member.who.name,
                "address": member.who.address,
                "role": room.role(member),
                "keyboard": room.holder is member,
                "since_s": round(time.monotonic() - member.since, 3),
            }
            async for room in _watchable(request)
            for member in room.members
        )
    return await request.print_as_made(
        f"{room.console.name}  {line}" async for room in _watchable(request) for line in room.who()
    )


async def _watchable(request: Request) -> AsyncIterator[Room]:
    """Where anybody is, of those that the user may watch."""
    found = await request.consoles.visible(request.who)
    async for console, _ in eased(found, ROWS_A_SLICE):
        room = request.consoles.rooms.get(console.name)
        if room and room.members and room.may(request.who, Right.WATCH):
            yield room


async def handle_events(request: Request) -> ExitStatus:
    """What happens at the consoles that the user may watch, until the client leaves."""

    def may_see(event: Event) -> bool:
        if request.who.local:
            return True
        if event.kind is Kind.LOST:
            return True
        return bool(event.console) and request.consoles.access.may(request.who, Right.WATCH, event.console)

    async def show() -> ExitStatus:
        with request.consoles.events.subscribe() as events:
            while True:
                event = await events.next()
                await next_slice()  # a thousand may wait: those of a machine with a thousand guests
                if may_see(event):
                    await request.print([as_json(event.as_dict()) if request.args.json else words(event)])

    async def gone() -> ExitStatus:
        await request.peer.gone()
        return ExitStatus.OK

    async def stopped() -> ExitStatus:
        await request.consoles.stopping.wait()
        await request.peer.tell("the console server stops")
        return ExitStatus.FAILED

    return await first_done(show(), gone(), stopped())


def words(event: Event) -> str:
    """An event, for a person."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    about = " ".join(f"{key}={value!r}" for key, value in event.detail.items())
    who = event.who.name if event.who else "-"
    return f"{when}  {event.kind:<14}  {event.console or '-':<12}  {who:<12}  {about}".rstrip()
