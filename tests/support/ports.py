"""TCP ports for programs that cannot choose one themselves, or that come back to the one that they had."""

from __future__ import annotations

import random
import socket
from typing import Final

#: Below those that Linux gives to whoever connects, or asks for any (ip(7), ip_local_port_range): else another test
#: could have it by then.
_CHOICE: Final = range(20_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now, and that nobody is given by chance."""
    for port in random.SystemRandom().sample(_CHOICE, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("of 100 ports none is free")
