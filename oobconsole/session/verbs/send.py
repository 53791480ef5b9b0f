"""The verb `send`: one text for a console, or for each of several."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import Final

from oobconsole.session.arguments import add_console
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.safe import eased
from oobconsole.session.sending import SEVERAL_MAX, Several, send
from oobconsole.session.words import FreeText

#: Characters of a pattern that names consoles: no name is as long, and to understand one of 60,000 takes a second.
#: The pattern is compared with so many names in one slice of the event loop.
PATTERN_MAX: Final = 256
_MATCHED_A_SLICE: Final = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """The console, or a pattern that names several; and the text."""
    add_console(parser)
    parser.add_argument("text", metavar="TEXT", action=FreeText)
    parser.add_argument("--no-enter", action="store_true", help="without the Enter key at its end")
    parser.add_argument("--force", action="store_true", help="though somebody has the keyboard (right: force)")


async def handle(request: Request) -> ExitStatus:
    """Type a text, if nobody else has the keyboard; at several consoles, when a pattern names them."""
    return await (send_to_each if is_pattern(request.args.console) else send_to_one)(request)


async def send_to_one(request: Request) -> ExitStatus:
    """Type a text into the console that was named, until its user hangs up."""
    return await first_done(send(request), request.hung_up())


def is_pattern(name: str) -> bool:
    """No console's name has one of these in it."""
    return any(c in name for c in "*?[")


async def send_to_each(request: Request) -> ExitStatus:
    """Type a text into every console that a pattern names and the user can see."""
    pattern = request.args.console
    if len(pattern) > PATTERN_MAX:
        raise UsageError(f"{echo(pattern)} has {len(pattern)} characters; a pattern has at most {PATTERN_MAX}")
    visible = await request.services.visible(request.who)
    found = [c.name async for c in eased(visible, _MATCHED_A_SLICE) if fnmatchcase(c.name, pattern)]
    if not found:
        raise UsageError(f"there is no console {echo(pattern)}; 'ls' lists them")
    if len(found) > SEVERAL_MAX:
        raise UsageError(f"{echo(pattern)} names {len(found)} consoles; at most {SEVERAL_MAX} are typed at together")
    return await Several(request, found).run()
