"""The verb `audit head`: prints the audit log's last number and hash, as the running server has them."""

from __future__ import annotations

import argparse

from oobconsole.session.request import ExitStatus, Request


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the only argument, `head`. The local command `oobconsole audit` reads the files itself, and has more."""
    parser.add_argument("what", choices=["head"], metavar="head", help="the number and the hash of the last entry")


async def handle(request: Request) -> ExitStatus:
    """Print the number and the hash of the audit log's last entry."""
    return await request.print([" ".join(map(str, request.services.audit_head()))])
