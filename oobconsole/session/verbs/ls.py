"""The verb `ls`: prints the consoles at which the user has any right, and how each of them does."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from typing import Final, TypedDict

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.session.arguments import add_json
from oobconsole.session.listing import ROWS_A_SLICE, idle, in_words
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.safe import eased
from oobconsole.session.view import Found

#: How many names are printed in one slice of the event loop.
NAMES_A_SLICE: Final = 256


class _Row(TypedDict):
    """What `ls --json` prints about a console."""

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


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the form of the answer."""
    how = parser.add_mutually_exclusive_group()
    add_json(how)
    how.add_argument("--names", action="store_true", help="print only the names, one a line")


async def handle(request: Request) -> ExitStatus:
    """Print the consoles. Says so if there are none, and says which of them are not recorded."""
    found = await request.services.visible(request.who)
    if request.args.names:
        return await request.print_as_made(_names(found))
    if request.args.json:
        return await request.print_json(_rows(request, found))
    if not found:
        await request.peer.tell(
            "there is no console at which you have any right: a [[grant]] in the server's configuration gives rights"
        )
        return ExitStatus.OK
    for name, reason in sorted(request.services.trouble.unrecorded.items()):
        if found.position(name) is not None:
            await request.peer.tell(f"{name} is not recorded: {reason}")
    return await request.print_as_made(_table(request, found))


async def _table(request: Request, found: Found) -> AsyncIterator[str]:
    width = max(len("CONSOLE"), (await request.services.views.of(request.who)).longest)
    yield f"{'CONSOLE':<{width}}  STATE    ATTACHED  KEYBOARD    OUTPUT  MACHINE     LAST LINE"
    async for row in _rows(request, found):
        yield (
            f"{row['console']:<{width}}  {row['state']:<7}  {row['attached']:>8}  {row['keyboard'] or '-':<10}  "
            f"{in_words(row['idle_s']):>6}  {row['machine']:<10}  {row['last_line']}".rstrip()
        )


async def _rows(request: Request, found: Found) -> AsyncIterator[_Row]:
    async for console in eased(found, ROWS_A_SLICE):
        yield await _row(request, console)


async def _names(found: Found) -> AsyncIterator[str]:
    async for console in eased(found, NAMES_A_SLICE):
        yield console.name


async def _row(request: Request, console: Console) -> _Row:
    services = request.services
    guest = services.directory.guest_of(console)
    may_read = services.access.may(request.who, Right.WATCH, console.name)
    seat = services.seats.at(console)
    last = await seat.last_line.look() if may_read else ""
    seconds = idle(console)
    return {
        "console": console.name,
        "state": console.state.name.lower(),
        "reason": console.reason,
        "machine": "" if guest is None else guest.source.name,
        "attached": console.attached,
        "keyboard": seat.holder.who.name if seat.holder else "",
        "idle_s": None if seconds is None else round(seconds, 3),
        "offset": console.end,
        "unrecorded": services.trouble.unrecorded.get(console.name, ""),
        "last_line": last,
    }
