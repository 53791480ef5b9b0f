"""What scripts and tests import: consoles of a running server, by asyncio or plainly (`oobconsole.client.sync`)."""

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
