"""Connects to the admin socket of a server on this host, for the local command and for scripts.

Why not by the event loop? A UNIX socket whose queue of waiting connections is full says EAGAIN (connect(2)). asyncio
takes that for a connection that is under way, waits until the socket is writable, which a socket without a connection
always is, and returns it as if it were connected. A server that is late would then look like a server that is away.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Final

#: How long to wait before the queue is tried again, in seconds: from the first to the longest pause.
_PAUSE_FIRST, _PAUSE_MAX = 0.01, 0.2


async def connected(path: str | Path) -> socket.socket:
    """Connect to a UNIX socket. While its server has no time to accept connections, and others wait already, this
    waits, too. It has no time limit of its own.

    Args:
        path: where the server listens.

    Returns:
        The connected socket, which does not block.

    Raises:
        OSError: nobody listens there, or not to us.
    """
    address: Final = os.fsencode(path)
    sock = socket.socket(socket.AF_UNIX)
    pause = _PAUSE_FIRST
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(address)
            except BlockingIOError:  # EAGAIN: the queue is full
                await asyncio.sleep(pause)
                pause = min(_PAUSE_MAX, pause * 2)
            else:
                return sock
    except BaseException:
        sock.close()
        raise
