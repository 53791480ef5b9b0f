"""The verb `attach`: a person or a script at a console. It gets the keyboard if nobody else has it."""

from __future__ import annotations

import argparse

from oobconsole.access import Right
from oobconsole.session.arguments import add_console, count
from oobconsole.session.attend import Attended
from oobconsole.session.pipe import Pipe
from oobconsole.session.request import ExitStatus, Request


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, where in its output to begin, and in which form the output is wanted."""
    add_console(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lines", type=count, metavar="N", help="begin with the last N lines of the output")
    where.add_argument("--from-start", action="store_true", help="begin with the oldest output that the server has")
    where.add_argument("--from", type=count, metavar="OFFSET", dest="offset", help="begin at that byte of the output")
    parser.add_argument(
        "--force",
        action="store_true",
        help="end another program that has the line open, such as virsh console (needs the right 'force')",
    )
    parser.add_argument(
        "--raw", action="store_true", help="pass the guest's bytes as they are: no screen first, no filter"
    )
    parser.add_argument("--json-notices", action="store_true", help="write notices as JSON to standard error")


async def handle(request: Request) -> ExitStatus:
    """Stay at the console until the user leaves."""
    return await begin(request, watch=False)


async def begin(request: Request, *, watch: bool) -> ExitStatus:
    """Stay at the console until the user leaves. Returns the exit status.

    Args:
        request: the arguments are those of `attach`.
        watch: whether the user only watches, and does not want the keyboard.
    """
    console, args = request.console(), request.args
    if args.force:
        request.console(Right.FORCE)
        request.services.seats.room(console).take_line(request.who)
    offset = args.offset
    if args.from_start:
        offset = console.start
    elif args.lines is not None:
        offset = console.tail(args.lines)
    elif args.raw and offset is None:
        offset = console.end
    if request.terminal is not None:
        return await Attended(request, console, offset=offset, watch=watch, raw=args.raw).run()
    return await Pipe(request, console, offset=offset, watch=watch, as_json=args.json_notices).run()
