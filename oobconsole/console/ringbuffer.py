"""The bytes that a guest printed last, in a ring of bounded size. Each byte has an absolute offset, which never
changes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: The last few chunks of such a size (in bytes) are remembered. All watchers of a flood read the same places, so they
#: get the same bytes without another copy.
SHARED_MIN: Final = 4096
SHARED_MAX: Final = 65536
_SHARED_CHUNKS: Final = 4


class Chunk(NamedTuple):
    """The result of reading at an offset.

    Attributes:
        offset: the absolute offset of the first byte of `data`.
        skipped: how many bytes between the wanted offset and `offset` the ring does not have any more.
        data: the bytes; may be empty.
    """

    offset: int
    skipped: int
    data: bytes


class RingBuffer:
    """The last `capacity` bytes of a stream; the offset of a byte never changes.

    Args:
        capacity: in bytes, at least 1.

    Attributes:
        end: the offset that the next byte will have. Others only read it.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring of {capacity} bytes")
        self.capacity = capacity
        self._data = bytearray()  # grows up to the capacity, so that an idle console costs no memory
        self._base = 0  # the offset of the byte at index 0
        self.end = 0
        self._shared: dict[tuple[int, int], bytes] = {}  # by offset and length

    @property
    def start(self) -> int:
        """The offset of the oldest byte that the ring still has."""
        return self.end - len(self._data)

    def restart(self, end: int, data: bytes) -> None:
        """Replace the contents by the last bytes of `data`, as many as fit. They are the bytes before the offset
        `end`.
        """
        self._shared.clear()
        self._data.clear()
        data = data[-self.capacity :]
        self._base = self.end = end - len(data)
        self.append(data)

    def shift(self, by: int) -> None:
        """Add `by` to all offsets."""
        self._shared.clear()
        self._base += by
        self.end += by

    def forget_chunks(self) -> None:
        """Forget the chunks that are kept for other readers, because there are none."""
        self._shared.clear()

    def append(self, data: bytes) -> None:
        """Append `data`. If there is no room, the oldest bytes are dropped."""
        room = self.capacity - len(self._data)
        if room:
            self._data += data[:room]
            self.end += min(room, len(data))
            data = data[room:]
        self.end += len(data)
        data = data[-self.capacity :]
        at = (self.end - len(data) - self._base) % self.capacity
        first = min(len(data), self.capacity - at)
        self._data[at : at + first] = data[:first]
        self._data[: len(data) - first] = data[first:]

    def read(self, offset: int, limit: int) -> Chunk:
        """Read up to `limit` bytes from `offset` on, or from the oldest byte on if that is later."""
        offset = min(offset, self.end)
        begin = max(offset, self.start)
        length = min(limit, self.end - begin)
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
