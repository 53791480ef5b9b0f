"""The verb `send`: types one text into a console, or into each of several consoles."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import Final

from oobconsole.session.arguments import add_console
from oobconsole.session.freetext import FreeText
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.safe import eased
from oobconsole.session.sending import SEVERAL_MAX, Several, send

#: How many characters a pattern that names consoles may have: no name is as long, and a pattern of 60,000 characters
#: takes a second to be understood. And with how many names the pattern is compared in one slice of the event loop.
PATTERN_MAX: Final = 256
_MATCHED_A_SLICE: Final = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, or a pattern that names several consoles; and the text."""
    add_console(parser, "the console's name, or a pattern such as 'web*' for several consoles")
    parser.add_argument("text", metavar="TEXT", action=FreeText, help="the text: all that follows the console's name")
    parser.add_argument("--no-enter", action="store_true", help="do not press Enter after the text")
    parser.add_argument(
        "--force", action="store_true", help="type even if somebody else has the keyboard (needs the right 'force')"
    )


async def handle(request: Request) -> ExitStatus:
    """Type the text, unless somebody else has the keyboard. A pattern in place of a name means several consoles."""
    return await (send_to_each if is_pattern(request.args.console) else send_to_one)(request)


async def send_to_one(request: Request) -> ExitStatus:
    """Type the text into the console that was named. Ends when the user hangs up."""
    return await first_done(send(request), request.hung_up())


def is_pattern(name: str) -> bool:
    """Return whether the text is a pattern: no console's name has one of the characters `*`, `?` and `[`."""
    return any(c in name for c in "*?[")


async def send_to_each(request: Request) -> ExitStatus:
    """Type the text into every console that the pattern names and the user can see."""
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
