"""What can go wrong, as a script sees it: every error of this package is a `ClientError`.

ClientError
├── ConnectFailed    the server cannot be reached, or does not let us in
├── CommandRefused   it does not do what was asked: no such console, no right, not understood
├── ConsoleEnded     the console's session is over, and why
├── ExpectFailed     a failure pattern came
└── ExpectTimeout    the pattern did not come in time; shows the last screen
"""

from __future__ import annotations


class ClientError(Exception):
    """Any error of this package: catch this one to catch all of them."""


class ConnectFailed(ClientError):
    """The server cannot be reached, or was lost and did not come back in time, or does not let the user log in."""


class CommandRefused(ClientError):
    """The server does not do what it was asked: there is no such console, no right to it, or it failed.

    Attributes:
        status: the command's exit status (docs/sessions.md has their meanings).
    """

    def __init__(self, command: str, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"{command}: {reason or 'failed'} (status {status})")


class ConsoleEnded(ClientError):
    """The session at the console has ended, so that nothing can be expected or typed there any more."""


class ExpectFailed(ClientError):
    """The guest printed what matches one of the patterns in `fail`, before the one that was waited for."""


class ExpectTimeout(ClientError):
    """The guest did not print in time what was waited for, or did not take what was typed."""
