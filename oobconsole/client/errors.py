"""What can go wrong, as a script sees it.

ClientError
├── ConnectFailed    the server cannot be reached, or does not let us in
├── CommandRefused   it does not do what was asked: no such console, no right, not understood
├── ConsoleEnded     the console's session is over, and why
├── ExpectFailed     a failure pattern came
└── ExpectTimeout    the pattern did not come in time; shows the last screen
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of everything below."""


class ConnectFailed(ClientError):
    """The server cannot be reached, or does not let us in."""


class CommandRefused(ClientError):
    """The server does not do it.

    Attributes:
        status: exit status (docs/sessions.md).
    """

    def __init__(self, command: str, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"{command}: {reason or 'failed'} (status {status})")


class ConsoleEnded(ClientError):
    """The session is over."""


class ExpectFailed(ClientError):
    """A failure pattern came."""


class ExpectTimeout(ClientError):
    """The pattern did not come in time."""
