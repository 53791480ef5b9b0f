"""The verb `events`: prints what happens at the consoles that the user may watch, as it happens."""

from __future__ import annotations

import argparse
import time

from oobconsole.access import Right
from oobconsole.events import Event, Kind
from oobconsole.session.arguments import add_json
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.safe import next_slice
from oobconsole.words import as_json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the form of the answer."""
    add_json(parser)


async def handle(request: Request) -> ExitStatus:
    """Print events until the client leaves or the server stops. The server's own user gets the events of all
    consoles."""

    def may_see(event: Event) -> bool:
        if request.who.local:
            return True
        if event.kind is Kind.LOST:
            return True
        return bool(event.console) and request.services.access.may(request.who, Right.WATCH, event.console)

    async def show() -> ExitStatus:
        with request.services.events.subscribe() as events:
            while True:
                event = await events.next()
                await next_slice()  # a machine with a thousand guests makes a thousand events at a time
                if may_see(event):
                    await request.print([as_json(event.as_dict()) if request.args.json else words(event)])

    async def gone() -> ExitStatus:
        await request.peer.gone()
        return ExitStatus.OK

    async def stopped() -> ExitStatus:
        await request.services.stopping.wait()
        await request.peer.tell("the console server stops")
        return ExitStatus.FAILED

    return await first_done(show(), gone(), stopped())


def words(event: Event) -> str:
    """Return an event as one line for people: time, kind, console, user and details."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    about = " ".join(f"{key}={value!r}" for key, value in event.detail.items())
    who = event.who.name if event.who else "-"
    return f"{when}  {event.kind:<14}  {event.console or '-':<12}  {who:<12}  {about}".rstrip()
