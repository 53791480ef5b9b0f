"""`reload` and `audit head`: what is asked of the server itself, through the admin socket only."""

from __future__ import annotations

import argparse

from oobconsole.errors import OobError
from oobconsole.events import Kind
from oobconsole.session.request import Denied, ExitStatus, Request


async def handle_reload(request: Request) -> ExitStatus:
    """Read the configuration again; it stays as it was when anything is wrong with it."""
    _require_local(request, "reload")
    reload = request.consoles.reload
    assert reload is not None
    try:
        text = await reload(request.who)
    except OobError as error:
        await request.peer.tell(f"nothing was changed: {error}")
        return ExitStatus.FAILED
    return await request.print([text])


def audit_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `audit`."""
    parser.add_argument("what", choices=["head"], metavar="head")


async def handle_audit(request: Request) -> ExitStatus:
    """Number and hash of the audit log's last entry."""
    _require_local(request, "audit head")
    head = request.consoles.audit_head
    assert head is not None
    return await request.print([" ".join(map(str, head()))])


def _require_local(request: Request, verb: str) -> None:
    if not request.who.local:
        request.consoles.events.emit(Kind.DENIED, who=request.who, verb=verb)
        raise Denied(f"'{verb}' is for the server's own user: 'oobconsole {verb}' on its host")
