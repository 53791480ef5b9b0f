"""The verb `help`: prints what the commands do, or the options of one of them."""

from __future__ import annotations

import argparse

from oobconsole.session.parsing import explained
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.verbs import VERBS


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command that is to be explained. Without one, all commands are listed."""
    parser.add_argument(
        "verb", nargs="?", metavar="COMMAND", help="the command to explain; without one, all are listed"
    )


async def handle(request: Request) -> ExitStatus:
    """Print the list of commands, or what one command can do."""
    name = request.args.verb
    if name is None:
        width = max(map(len, VERBS))
        lines = [f"  {verb.name:<{width}}  {verb.summary}" for verb in VERBS.values()]
        return await request.print(
            [
                "ssh HOST CONSOLE is short for ssh HOST attach CONSOLE, and ssh -t HOST for ssh -t HOST menu.",
                "ssh HOST help COMMAND explains a command. The commands are:",
                *lines,
            ]
        )
    if name not in VERBS:
        raise UsageError(f"there is no command {echo(name)}; 'help' lists them")
    return await request.print(explained(VERBS[name]))
