"""The verb `search`: prints the lines of a recording in which a pattern is found."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from oobconsole.session.arguments import add_console, add_since, pattern
from oobconsole.session.freetext import FreeText, misplaced
from oobconsole.session.history import History
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.searching import Search

#: How many lines are printed at most. Then the user is told that there are more.
FOUND_MAX: Final = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, the pattern, and from which time on it is looked for."""
    add_console(parser)
    parser.add_argument(
        "pattern", metavar="REGEX", action=FreeText, understand=pattern, help="what a line must match"
    )
    add_since(parser)


async def handle(request: Request) -> ExitStatus:
    """Print the lines in which the pattern is, with their times and offsets.

    Returns the exit status: FAILED if nothing was found and everything was searched, PARTIAL if nothing was found but
    something could not be searched.
    """
    history = History(request, "search")
    if hint := misplaced(request.args.pattern.pattern, ("--since",)):
        await request.peer.tell(hint)
    is_whole = await history.ready()
    return await first_done(_search(history, is_whole), request.hung_up())


async def _search(history: History, is_whole: bool) -> ExitStatus:
    args, tell = history.request.args, history.request.peer.tell
    start = 0 if args.since is None else await history.offset_since(args.since)
    before = await history.call(partial(history.transcript.before, start)) if start else b""
    search = Search(args.pattern, before)
    turns = search.turns(history.transcript.frames(start)) if start is not None else iter(())
    while (lines := await history.next(turns)) is not None:
        await history.request.print(lines)
        if search.found >= FOUND_MAX:
            await tell(f"there is more than these {search.found} lines; say --since, or more of it")
            return ExitStatus.OK
    for text in search.left_out():
        await tell(text)
    if search.found:
        return ExitStatus.OK
    return ExitStatus.FAILED if is_whole and not search.left_out() else ExitStatus.PARTIAL
