"""Finds out whether the other end of a TCP connection is still there: a host that lost its power sends no FIN.

tcp(7). TCP_USER_TIMEOUT is not used: since Linux 5.11 it also ends a connection whose other end answers and merely
takes nothing, such as that of a paused guest (net/ipv4/tcp_timer.c, tcp_probe_timer). Slow is not dead.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, Protocol

#: An idle connection is probed after IDLE seconds, then each INTERVAL; so many without an answer end it: 45 s.
IDLE: Final = 15
INTERVAL: Final = 5
COUNT: Final = 6
#: Data that is sent and not answered takes the place of probes: such a connection is looked at, in seconds.
LOOK_SECONDS: Final = 10.0
UNANSWERED_SECONDS: Final = 45.0
#: `struct tcp_info` of linux/tcp.h: retransmits and probes (bytes 2, 3), unacked (24), last_ack_recv in ms (56).
_INFO: Final = struct.Struct("=2x B B 20x I 28x I")


class Socket(Protocol):
    """What is needed of a socket. uvloop's sockets are not `socket.socket`."""

    @property
    def family(self) -> int:
        """The address family, AF_…"""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set an option: setsockopt(2)."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """Read an option as `size` bytes: getsockopt(2)."""


def keep_alive(sock: Socket, idle: int = IDLE, interval: int = INTERVAL, count: int = COUNT) -> bool:
    """Have the kernel probe the other end.

    Args:
        idle: after so many seconds without a word from the other end.
        interval: so many seconds between two probes.
        count: so many probes without an answer end the connection.

    Returns:
        False: the socket is not TCP, and needs no probes.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, idle),
        (socket.TCP_KEEPINTVL, interval),
        (socket.TCP_KEEPCNT, count),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return True


def unanswered(sock: Socket, seconds: float = UNANSWERED_SECONDS) -> bool:
    """Has nothing that we sent or asked been answered for so many seconds? An end that answers but takes no data is
    not
    dead."""
    retransmits, probes, unacked, last_answer_ms = _INFO.unpack(
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    )
    return last_answer_ms >= seconds * 1000 and bool((unacked and retransmits) or probes > 1)
