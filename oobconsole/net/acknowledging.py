"""Makes TCP acknowledge at once what has come, for sockets that belong to an event loop.

Why not the method `setsockopt` of what uvloop gives as a socket? It makes a Python socket for each call, which takes
longer than all else that a typed key costs here.
"""

from __future__ import annotations

import ctypes
import socket
from typing import Final

_setsockopt = ctypes.CDLL(None).setsockopt
_setsockopt.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_SIZE: Final = ctypes.sizeof(ctypes.c_int)
_VALUES: Final = {value: ctypes.c_int(value) for value in (0, 1)}
_ADDRESSES: Final = {value: ctypes.addressof(at) for value, at in _VALUES.items()}


class Options:
    """Sets options of a socket that somebody else closes.

    Args:
        number: the socket's descriptor. It must be open as long as this object is used.
    """

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Set an option to 0 or 1 (setsockopt(2)). An error is ignored: the socket may be closed already."""
        _setsockopt(self._number, level, option, _ADDRESSES[value], _SIZE)


def options_of(sock: socket.socket) -> Options | None:
    """Return what sets options of a socket; None: it is not TCP."""
    return Options(sock.fileno()) if sock.family in (socket.AF_INET, socket.AF_INET6) else None
