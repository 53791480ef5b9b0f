"""What is to be written to one file, in the pieces in which it came: to join a flood's would copy all of it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

#: Small pieces are joined until there is so much, in bytes: a system call for each would cost more than the copy.
#: Larger pieces come alone, as they are.
BLOCK: Final = 1 << 16


class Pieces:
    """Bytes in pieces, one behind the other. The length is that of all pieces together."""

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
