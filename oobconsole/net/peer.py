"""Which process is at the other end of a UNIX socket, by the kernel's word: SO_PEERCRED, unix(7)."""

from __future__ import annotations

import socket
from struct import Struct
from typing import Final, NamedTuple

_UCRED: Final = Struct("3i")  # `struct ucred`


class Credentials(NamedTuple):
    """Who the other end was when it connected.

    Attributes:
        pid: the number of its process.
        uid: the user that the process ran as.
        gid: the group of that user.
    """

    pid: int
    uid: int
    gid: int


def credentials(sock: socket.socket) -> Credentials:
    """Return who is at the other end of a connected UNIX socket. Raises `OSError`."""
    return Credentials(*_UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
