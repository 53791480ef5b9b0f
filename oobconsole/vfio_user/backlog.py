"""The newest output of a port, by absolute offsets."""

from __future__ import annotations


class Backlog:
    """Keeps the last `size` bytes.

    Attributes:
        start, end: offsets of the first byte that is kept, and of the next that will come.
    """

    def __init__(self, size: int) -> None:
        self.start = self.end = 0
        self._size = size
        self._kept = bytearray()

    def append(self, data: bytes) -> None:
        """More was printed."""
        self._kept += data
        self.end += len(data)
        excess = len(self._kept) - self._size
        if excess > 0:
            del self._kept[:excess]
            self.start += excess

    def read(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes from `offset`, which is kept."""
        at = offset - self.start
        return bytes(self._kept[at : at + limit])
