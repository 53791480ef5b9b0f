"""Keeps the newest output of a port, by absolute offsets."""

from __future__ import annotations


class Backlog:
    """The last `size` bytes of a port's output.

    Attributes:
        start: the offset of the first byte that is kept.
        end: the offset that the next byte will have.
    """

    def __init__(self, size: int) -> None:
        self.start = self.end = 0
        self._size = size
        self._kept = bytearray()

    def append(self, data: bytes) -> None:
        """Add output; the oldest bytes are dropped when there are too many."""
        self._kept += data
        self.end += len(data)
        excess = len(self._kept) - self._size
        if excess > 0:
            del self._kept[:excess]
            self.start += excess

    def read(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from `offset` on, which must lie between `start` and `end`."""
        at = offset - self.start
        return bytes(self._kept[at : at + limit])
