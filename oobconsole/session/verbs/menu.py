"""The verb `menu`: lets a person choose a console, and come back to choose another."""

from __future__ import annotations

import argparse
from dataclasses import replace

from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.verbs import ls
from oobconsole.session.visit import visit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: `menu` takes no arguments."""


async def handle(request: Request) -> ExitStatus:
    """Show the menu. A user without a terminal gets the list of consoles, and is told how to get a menu."""
    if request.terminal is None:
        await ls.handle(replace(request, args=argparse.Namespace(json=False, names=False)))
        await request.peer.tell("for a menu: ssh -t HOST; 'help' lists the commands")
        return ExitStatus.USAGE
    return await visit(request, request.terminal)
