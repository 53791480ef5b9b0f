"""Decides whether a new TCP connection is accepted, before it costs anything. If not, the client is told why."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Final, cast

import structlog

from oobconsole.log.log import LogLimit
from oobconsole.ssh.gate import Gate

log = structlog.get_logger(__name__)

#: How many refused clients may be told why at the same time. The connections of others are closed without a word.
_LINGERING_MAX: Final = 64
_LINGER_SECONDS: Final = 2.0
_DISC_TOO_MANY_CONNECTIONS: Final = 12


class Doorkeeper:
    """Makes a `Door` for every connection.

    Args:
        gate: says who is refused.
        admit: makes the protocol that goes on with an accepted connection.
        refused: called for each connection that is refused.
    """

    def __init__(self, gate: Gate, admit: Callable[[], asyncio.Protocol], refused: Callable[[], object]) -> None:
        self.gate = gate
        self.admit = admit
        self._refused = refused
        self.lingering = 0
        self._limit = LogLimit(10)

    def door(self) -> Door:
        """Make a door for the next connection."""
        return Door(self)

    def report(self, address: str, reason: str) -> None:
        """Count a refusal, and log it unless there have been many in the last minute."""
        self._refused()
        if self._limit.allows(about="connections that were refused"):
            log.warning("connection refused", address=address, reason=reason)


class Door(asyncio.Protocol):
    """Hands one connection on to an SSH connection, or refuses it."""

    def __init__(self, keeper: Doorkeeper) -> None:
        self._keeper = keeper
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's has the interface, but is no subclass
        address = str((transport.get_extra_info("peername") or ("",))[0])
        reason = self._keeper.gate.refuses(address)
        if reason:
            self._keeper.report(address, reason)
            self._refuse(transport, reason)
            return
        protocol = self._keeper.admit()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._keeper.lingering -= 1

    def _refuse(self, transport: asyncio.Transport, reason: str) -> None:
        """Tell the client why, and close the connection a little later. If it were closed at once, the client might
        lose the reason. What the client sends meanwhile is dropped."""
        if self._keeper.lingering >= _LINGERING_MAX or transport.is_closing():
            transport.abort()
            return
        self._keeper.lingering += 1
        self._timer = asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.abort)
        transport.write(b"SSH-2.0-oobconsole\r\n" + disconnect_packet(reason))
        transport.write_eof()


def disconnect_packet(reason: str) -> bytes:
    """Return the packet SSH_MSG_DISCONNECT as it is before any key exchange (RFC 4253, 6 and 11.1)."""
    text = reason.encode()
    payload = struct.pack(">BII", 1, _DISC_TOO_MANY_CONNECTIONS, len(text)) + text + struct.pack(">I", 0)
    padding = 4 + -(len(payload) + 9) % 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)
