"""What scripts and tests import to use the consoles of a running server.

This package is for asyncio; `oobconsole.client.sync` offers the same to scripts without it. docs/client.md has
examples.
"""

from oobconsole.client.connection import Connection, connect
from oobconsole.client.console import CommandResult, Console, Gap
from oobconsole.client.errors import (
    ClientError,
    CommandRefused,
    ConnectFailed,
    ConsoleEnded,
    ExpectFailed,
    ExpectTimeout,
)

__all__ = [
    "ClientError",
    "CommandRefused",
    "CommandResult",
    "ConnectFailed",
    "Connection",
    "Console",
    "ConsoleEnded",
    "ExpectFailed",
    "ExpectTimeout",
    "Gap",
    "connect",
]
