"""L1's physical memory, which L0 keeps in a file. Which pages do the page tables in it map, and where are pieces of a
secret?"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

PAGE: Final = 4096
#: Bits of a page table entry of long mode (AMD APM vol. 2, 5.3; nested tables have the same ones, 15.25).
PRESENT: Final = 1
LARGE: Final = 1 << 7
FRAME: Final = 0x000F_FFFF_FFFF_F000
#: How many of the 512 entries of a root table are those of user space. They come first.
ALL: Final = 512
USER_HALF: Final = 256
#: How far apart the bytes of a secret may be. Other bytes lie between them in UTF-16, in text with attributes, and in
#: arrays of integers.
STRIDES: Final = (1, 2, 4, 8)


class Run(NamedTuple):
    """A piece of the secret.

    Attributes:
        at: where its first byte is.
        first: which byte of the secret that is.
        length: how many bytes the piece has.
        stride: how far apart its bytes are.
    """

    at: int
    first: int
    length: int
    stride: int = 1


def runs(data: bytes | mmap.mmap, secret: bytes, minimum: int, start: int = 0, stop: int | None = None) -> set[Run]:
    """Return the longest pieces of `secret` that stand in `data` between `start` and `stop`. They have `minimum`
    bytes or more.

    How are they found? The secret is cut into chunks of half as many bytes as `minimum`. Each piece that is long
    enough contains at least one whole chunk, so it is enough to look around the chunks.
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
    """L1's memory, which L1 must not change meanwhile. A physical address is an offset in the file, because below 3
    GiB there is no hole."""

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
        """Return the eight bytes at an address as a number."""
        return int.from_bytes(self._bytes[at : at + 8], "little")

    def mapped(self, root: int, entries: int = ALL) -> set[int]:
        """Return the page frames (numbers of 4 KiB pages) that the four-level table at `root` maps to memory.

        Entries that name no memory are left out. KVM makes such entries where a guest has devices.
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
        """Return start and end of each part of the memory that was ever written to, and that is in none of these page
        frames."""
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
            except OSError:  # ENXIO: no written part follows
                return
            stop = os.lseek(self._file.fileno(), start, os.SEEK_HOLE)
            yield start, stop

    def search(self, secret: bytes, minimum: int, without: set[int]) -> tuple[int, set[Run]]:
        """Look for pieces of `secret` that have `minimum` bytes or more. Returns how many bytes were searched, and
        what was found."""
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
