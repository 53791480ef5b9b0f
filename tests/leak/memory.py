"""L1's physical memory, as L0 keeps it in a file: what page tables in it map, and where pieces of a secret are."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

PAGE: Final = 4096
#: A page table entry of long mode: AMD APM vol. 2, 5.3 and, for nested tables, 15.25.
PRESENT: Final = 1
LARGE: Final = 1 << 7
FRAME: Final = 0x000F_FFFF_FFFF_F000
#: Of the 512 entries of a root table, those of user space come first.
ALL: Final = 512
USER_HALF: Final = 256
#: Bytes of a secret are also looked for with others between them: UTF-16, text with attributes, arrays of integers.
STRIDES: Final = (1, 2, 4, 8)


class Run(NamedTuple):
    """So many bytes of the secret, from its byte `first` on, `stride` apart, the first of them at `at`."""

    at: int
    first: int
    length: int
    stride: int = 1


def runs(data: bytes | mmap.mmap, secret: bytes, minimum: int, start: int = 0, stop: int | None = None) -> set[Run]:
    """The longest pieces of `secret`, of `minimum` bytes or more, that stand in `data` between `start` and `stop`.

    A piece of `minimum` bytes holds, whole, one of the chunks of half that size into which the secret is cut.
    """
    stop = len(data) if stop is None else stop
    size = (minimum + 1) // 2
    found = set()
    for first in range(0, len(secret) - size + 1, size):
        at = data.find(secret[first : first + size], start, stop)
        while at >= 0:
            run = _widened(data, secret, at, first, size, start, stop)
            if run.length >= minimum:
                found.add(run)
            at = data.find(secret[first : first + size], at + 1, stop)
    return found


def _widened(data: bytes | mmap.mmap, secret: bytes, at: int, first: int, length: int, start: int, stop: int) -> Run:
    while first and at > start and data[at - 1] == secret[first - 1]:
        at, first, length = at - 1, first - 1, length + 1
    while first + length < len(secret) and at + length < stop and data[at + length] == secret[first + length]:
        length += 1
    return Run(at, first, length)


class Ram:
    """L1's memory, mapped; L1 must stand still. Physical addresses are offsets: below 3 GiB there is no hole."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._bytes = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._bytes.close()
        self._file.close()

    def __len__(self) -> int:
        return len(self._bytes)

    def u64(self, at: int) -> int:
        """Eight bytes, little-endian."""
        return int.from_bytes(self._bytes[at : at + 8], "little")

    def mapped(self, root: int, entries: int = ALL) -> set[int]:
        """The page frames (numbers of 4 KiB pages) that the four-level table at `root` maps to memory.

        Entries that name no memory are left out: with such, KVM marks where a guest has devices.
        """
        frames: set[int] = set()
        self._walk(root & FRAME, 3, entries, frames)
        return frames

    def _walk(self, table: int, level: int, entries: int, frames: set[int]) -> None:
        for entry in struct.unpack_from(f"<{entries}Q", self._bytes, table):
            if not entry & PRESENT or entry & FRAME >= len(self._bytes):
                continue
            if level and not entry & LARGE:
                self._walk(entry & FRAME, level - 1, ALL, frames)
            else:
                size = 512**level
                first = (entry & FRAME) // PAGE // size * size
                frames.update(range(first, min(first + size, len(self._bytes) // PAGE)))

    def pieces(self, without: set[int]) -> Iterator[tuple[int, int]]:
        """Start and end of each stretch of memory that was ever written to and is in none of these page frames."""
        for start, stop in self._written():
            for frame in range(start // PAGE, stop // PAGE):
                if frame in without:
                    if start < frame * PAGE:
                        yield start, frame * PAGE
                    start = (frame + 1) * PAGE
            if start < stop:
                yield start, stop

    def _written(self) -> Iterator[tuple[int, int]]:
        stop, size = 0, len(self._bytes)
        while stop < size:
            try:
                start = os.lseek(self._file.fileno(), stop, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing more
                return
            stop = os.lseek(self._file.fileno(), start, os.SEEK_HOLE)
            yield start, stop

    def search(self, secret: bytes, minimum: int, without: set[int]) -> tuple[int, set[Run]]:
        """Looks for `minimum` bytes or more of `secret`; returns how many bytes were searched, and what was found."""
        searched = 0
        found: set[Run] = set()
        for start, stop in self.pieces(without):
            searched += stop - start
            found |= runs(self._bytes, secret, minimum, start, stop)
            piece = self._bytes[start:stop]
            for stride in STRIDES[1:]:
                for phase in range(stride):
                    for run in runs(piece[phase::stride], secret, minimum):
                        found.add(run._replace(at=start + phase + run.at * stride, stride=stride))
        return searched, found
