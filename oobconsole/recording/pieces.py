"""Bytes that are to be written to one file, in the pieces in which they came. Joining the pieces of a flood would
copy all of it once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Small pieces are joined up to so many bytes, because a system call for each piece would cost more than the copy.
#: Larger pieces are written as they are.
BLOCK: Final = 1 << 16


class Pieces:
    """Bytes in pieces, one behind the other. `len` is the number of bytes of all pieces together."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, piece: bytes) -> None:
        """Add bytes to the end, without copying them."""
        self._pieces.append(piece)
        self._size += len(piece)

    def blocks(self) -> Iterator[bytes]:
        """Return all bytes in their order, in as many parts as are sensible to write."""
        waiting: list[bytes] = []
        size = 0
        for piece in self._pieces:
            if waiting and size + len(piece) > BLOCK:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(piece)
            size += len(piece)
        if waiting:
            yield b"".join(waiting)
