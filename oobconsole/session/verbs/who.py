"""The verb `who`: prints everybody who is attached to a console that the user may watch."""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.session.arguments import add_json
from oobconsole.session.listing import ROWS_A_SLICE
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.room import Room
from oobconsole.session.safe import eased


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the form of the answer."""
    add_json(parser)


async def handle(request: Request) -> ExitStatus:
    """Print everybody at the consoles that the user may watch."""
    if request.args.json:
        return await request.print_json(
            {
                "console": room.place.name,
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
        f"{room.place.name}  {line}" async for room in _watchable(request) for line in room.who()
    )


async def _watchable(request: Request) -> AsyncIterator[Room[Console]]:
    """Yield the rooms of consoles that the user may watch and at which anybody is. Other consoles are not looked
    at."""
    services = request.services
    async for console in eased(sorted(services.directory.attended, key=lambda c: c.name), ROWS_A_SLICE):
        seat = services.seats.known(console)
        if seat is not None and seat.members and services.access.may(request.who, Right.WATCH, console.name):
            yield seat.room
