"""The bytes a guest printed last: one bounded ring, absolute offsets, a cursor for each reader."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Chunks of so many bytes are remembered, the last few of them: whoever reads the same place next, as all watchers of
#: a flood do, is given the same bytes and no copy.
SHARED_MIN: Final = 4096
SHARED_MAX: Final = 65536
_SHARED_CHUNKS: Final = 4


class Chunk(NamedTuple):
    """What a cursor read.

    Attributes:
        offset: absolute, of the first byte of `data`.
        skipped: bytes between the cursor and `offset` that the ring no longer had.
        data: possibly empty.
    """

    offset: int
    skipped: int
    data: bytes


class RingBuffer:
    """The last `capacity` bytes of a stream; the offset of a byte never changes.

    Args:
        capacity: in bytes, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring of {capacity} bytes")
        self.capacity = capacity
        self._data = bytearray()  # grows to the capacity: an idle console costs nothing
        self._base = 0  # offset of the byte at index 0
        self._end = 0
        self._shared: dict[tuple[int, int], bytes] = {}  # by offset and length

    @property
    def start(self) -> int:
        """Offset of the oldest byte that is still here."""
        return self._end - len(self._data)

    @property
    def end(self) -> int:
        """Offset that the next byte will have."""
        return self._end

    def restart(self, end: int, data: bytes) -> None:
        """Hold the bytes before `end`: the last ones of `data`, as many as fit."""
        self._shared.clear()
        self._data.clear()
        data = data[-self.capacity :]
        self._base = self._end = end - len(data)
        self.append(data)

    def shift(self, by: int) -> None:
        """All offsets are higher by so much."""
        self._shared.clear()
        self._base += by
        self._end += by

    def forget_chunks(self) -> None:
        """Nobody reads on: keep no chunks for others."""
        self._shared.clear()

    def append(self, data: bytes) -> None:
        """Add to the end; the oldest bytes give way."""
        room = self.capacity - len(self._data)
        if room:
            self._data += data[:room]
            self._end += min(room, len(data))
            data = data[room:]
        self._end += len(data)
        data = data[-self.capacity :]
        at = (self._end - len(data) - self._base) % self.capacity
        first = min(len(data), self.capacity - at)
        self._data[at : at + first] = data[:first]
        self._data[: len(data) - first] = data[first:]

    def read(self, offset: int, limit: int) -> Chunk:
        """Read up to `limit` bytes from `offset`, or from the oldest byte when that is later."""
        offset = min(offset, self._end)
        begin = max(offset, self.start)
        length = min(limit, self._end - begin)
        if not SHARED_MIN <= length <= SHARED_MAX:
            return Chunk(begin, begin - offset, self._copied(begin, length))
        data = self._shared.get((begin, length))
        if data is None:
            data = self._shared[begin, length] = self._copied(begin, length)
            if len(self._shared) > _SHARED_CHUNKS:
                del self._shared[next(iter(self._shared))]
        return Chunk(begin, begin - offset, data)

    def _copied(self, begin: int, length: int) -> bytes:
        at = (begin - self._base) % self.capacity
        with memoryview(self._data) as view:
            data = bytes(view[at : at + length])
            return data + bytes(view[: length - len(data)])
