"""The verb `menu`: a person chooses a console, and comes back to choose another."""

from __future__ import annotations

import argparse
from dataclasses import replace

from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.verbs import ls
from oobconsole.session.visit import visit


def arguments(parser: argparse.ArgumentParser) -> None:
    """`menu` takes no arguments."""


async def handle(request: Request) -> ExitStatus:
    """Show the menu. Whoever has no terminal gets the list of consoles, and is told how to have a menu."""
    if request.terminal is None:
        await ls.handle(replace(request, args=argparse.Namespace(json=False, names=False)))
        await request.peer.tell("for a menu: ssh -t HOST; 'help' lists the commands")
        return ExitStatus.USAGE
    return await visit(request, request.terminal)
