"""The verb `audit head`: the audit log's last number and hash, from the running server."""

from __future__ import annotations

import argparse

from oobconsole.session.request import ExitStatus, Request


def arguments(parser: argparse.ArgumentParser) -> None:
    """Only `head` can follow; the local command `oobconsole audit` reads the files, and has more."""
    parser.add_argument("what", choices=["head"], metavar="head")


async def handle(request: Request) -> ExitStatus:
    """Print the number and the hash of the audit log's last entry."""
    return await request.print([" ".join(map(str, request.services.audit_head()))])
