"""Every error that oobconsole raises on purpose.

    OobError
    ├── ConfigError         the configuration file: file, key and reason; exit status 2
    ├── PeerFault           a peer (native half, SSH client) broke its protocol; costs that peer only
    │   ├── WireError       a malformed, oversized or out-of-order frame
    │   │   └── VersionError    ... or one of another version of the protocol
    │   ├── VfioUserError   a message that no client of vfio-user sends
    │   ├── FrontError      a frame that no front of ours sends to the core
    │   └── HungUp          a client that has left: its right, and no fault of anybody's; also a BrokenPipeError
    ├── EnvironmentFault    this host lacks something: a socket path, a port, a file, a right
    │   └── LineFault       a line, or what drives it, refuses: the user is told, and the line goes on
    └── StateError          our bug: a call in the wrong state

A guest causes no error: whatever it writes, reads or prints has an answer, as it has at a real device. What breaks
while a guest is served is a bug of ours (`devices/bus.py`), or the native half's, which is a peer.

Messages are written for whoever gets them: what happened, to which guest, file or key, what to do.
"""

from __future__ import annotations

from enum import Enum


class OobError(Exception):
    """The base of all errors of this server, which the module's docstring draws as a tree."""


class ConfigError(OobError):
    """A configuration that cannot be used.

    Args:
        file: the configuration file.
        key: dotted path of the key, empty for the file as a whole.
        reason: what is wrong and what would be right.
    """

    def __init__(self, file: str, key: str, reason: str) -> None:
        self.file = file
        self.key = key
        self.reason = reason
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")


class PeerFault(OobError):
    """A peer has broken its protocol. This costs that peer only."""


class WireError(PeerFault):
    """A frame that is malformed, oversized or out of order (docs/wire-protocol.md)."""


class VersionError(WireError):
    """HELLO of a native half that speaks another version of the protocol. It is told which one this server speaks."""


class VfioUserError(PeerFault):
    """A message of vfio-user that is malformed, oversized or out of order."""


class FrontError(PeerFault):
    """A frame of the relay that is malformed, oversized or out of order (`oobconsole/front/frames.py`)."""


class HungUp(PeerFault, BrokenPipeError):
    """A client has left. No other broken pipe (a serial port's, a log's) means that."""


class EnvironmentFault(OobError):
    """This host lacks something that we need."""


class LineFault(EnvironmentFault):
    """A line refuses what a user asks of it. OSErrors of lines become this before they reach a session."""


class StateError(OobError):
    """A method was called in a state in which it must not be called: a bug of ours."""

    def __init__(self, state: Enum, required: Enum) -> None:
        self.state = state
        self.required = required
        super().__init__(f"called in state {state.name}, which needs {required.name}")
