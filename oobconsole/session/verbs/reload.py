"""The verb `reload`: has the server read its configuration again."""

from __future__ import annotations

import argparse

from oobconsole.errors import OobError
from oobconsole.session.request import ExitStatus, Request


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: `reload` takes no arguments, because the server knows its configuration file."""


async def handle(request: Request) -> ExitStatus:
    """Have the configuration read again. If anything is wrong with it, nothing changes."""
    try:
        text = await request.services.reload(request.who)
    except OobError as error:
        await request.peer.tell(f"nothing was changed: {error}")
        return ExitStatus.FAILED
    return await request.print([text])
