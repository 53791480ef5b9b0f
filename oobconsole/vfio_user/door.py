"""A listening socket of the keeper's, at which nobody is let in for a while after something went wrong."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from typing import Final

#: After how many seconds it is tried again to accept somebody when the process or the host had no descriptor left.
AGAIN_S: Final = 1.0


class Door:
    """Waits in a selector for connections.

    Args:
        selector: calls what is registered as a key's data.
        listener: non-blocking.
        knocked: is called when somebody wants to connect; it calls `accept`.

    Attributes:
        opens_at: when somebody is let in again, by `time.monotonic`; None: now.
    """

    def __init__(
        self, selector: selectors.BaseSelector, listener: socket.socket, knocked: Callable[[], object]
    ) -> None:
        self.opens_at: float | None = None
        self._selector = selector
        self._listener = listener
        self._knocked = knocked
        self._open()

    def accept(self) -> socket.socket | None:
        """Return the next connection, non-blocking, or None: the other end has left again, or no descriptor is left.
        In the latter case the connection goes on waiting, so the door is shut for a while: the selector would call
        again at once, and again."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        except OSError:
            self.shut(AGAIN_S)
            return None
        connection.setblocking(False)
        return connection

    def shut(self, seconds: float) -> None:
        """Let nobody in for so long, or for as long as the door is shut already, if that is longer."""
        if self.opens_at is None:
            self._selector.unregister(self._listener)
        self.opens_at = max(self.opens_at or 0.0, time.monotonic() + seconds)

    def open_if_due(self, now: float) -> bool:
        """Let people in again if it is time. Returns whether the door was opened."""
        if self.opens_at is None or now < self.opens_at:
            return False
        self.opens_at = None
        self._open()
        return True

    def _open(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._knocked)
