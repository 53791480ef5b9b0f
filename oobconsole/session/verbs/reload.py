"""The verb `reload`: the server reads its configuration again."""

from __future__ import annotations

import argparse

from oobconsole.errors import OobError
from oobconsole.session.request import ExitStatus, Request


def arguments(parser: argparse.ArgumentParser) -> None:
    """`reload` takes no arguments: the server knows its configuration file."""


async def handle(request: Request) -> ExitStatus:
    """Read the configuration again; it stays as it was when anything is wrong with it."""
    try:
        text = await request.services.reload(request.who)
    except OobError as error:
        await request.peer.tell(f"nothing was changed: {error}")
        return ExitStatus.FAILED
    return await request.print([text])
