"""Finds out whether the other end of a TCP connection is still there: a host that lost its power sends no FIN.

tcp(7). TCP_USER_TIMEOUT is not used: since Linux 5.11 it also ends a connection whose other end answers and merely
takes nothing, such as that of a paused guest (net/ipv4/tcp_timer.c, tcp_probe_timer). Slow is not dead.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, Protocol

#: An idle connection is probed after IDLE seconds, and then every INTERVAL seconds. COUNT probes without an answer
#: end it, which is after 45 s.
IDLE: Final = 15
INTERVAL: Final = 5
COUNT: Final = 6
#: While data that was sent is not answered, there are no probes. So a connection is looked at every LOOK_SECONDS, and
#: has ended after UNANSWERED_SECONDS without an answer.
LOOK_SECONDS: Final = 10.0
UNANSWERED_SECONDS: Final = 45.0
#: `struct tcp_info` of linux/tcp.h: retransmits and probes (bytes 2, 3), unacked (24), last_ack_recv in ms (56).
_INFO: Final = struct.Struct("=2x B B 20x I 28x I")


class Socket(Protocol):
    """The part of a socket that is needed here. uvloop's sockets are not `socket.socket`."""

    @property
    def family(self) -> int:
        """The address family, AF_…"""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """Set an option: setsockopt(2)."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """Read an option as `size` bytes: getsockopt(2)."""


def keep_alive(sock: Socket, idle: int = IDLE, interval: int = INTERVAL, count: int = COUNT) -> bool:
    """Make the kernel probe the other end.

    Args:
        sock: the socket.
        idle: after how many seconds without a word from the other end.
        interval: how many seconds are between two probes.
        count: how many probes without an answer end the connection.

    Returns False if the socket is not TCP, and needs no probes.
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
    """Return whether nothing that we have sent or asked was answered for so many seconds. An end that answers but
    takes no data is not dead."""
    retransmits, probes, unacked, last_answer_ms = _INFO.unpack(
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    )
    return last_answer_ms >= seconds * 1000 and bool((unacked and retransmits) or probes > 1)
