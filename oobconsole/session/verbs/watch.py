"""The verb `watch`: does what `attach` does, but without the keyboard."""

from __future__ import annotations

from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.verbs.attach import arguments, begin

__all__ = ["arguments", "handle"]


async def handle(request: Request) -> ExitStatus:
    """Watch the console until the user leaves."""
    return await begin(request, watch=True)
