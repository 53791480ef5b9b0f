"""The files of a recording: their names, and how to read them (docs/recording.md). Blocking: for threads.

A console's recording is a folder of segments. Each is named by the absolute offset of its first byte and has:

    OFFSET.raw    what the guest printed, nothing else: byte n of it has the offset OFFSET + n
    OFFSET.idx    JSON lines: a header, then [time, offset] for what was printed, [time, offset, kind, …] for the rest
    OFFSET.cast   asciicast v2
    OFFSET.typed  JSON lines: who typed what; made when needed

The raw file's size says what was recorded: an index may be ahead of it, or behind, after a crash. A last line that is
torn counts for nothing. A closed segment's files are gzip files with `.gz` at the end of their names.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

RAW: Final = ".raw"
INDEX: Final = ".idx"
CAST: Final = ".cast"
TYPED: Final = ".typed"
KINDS: Final = (RAW, INDEX, CAST, TYPED)
GZ: Final = ".gz"
#: A line of JSON that is longer is not ours.
LINE_MAX: Final = 1 << 17
_NAME: Final = re.compile(r"(\d{20})\.raw(?:\.gz)?")
_OURS: Final = re.compile(r"(\d{20})\.[a-z]+(?:\.gz)?(\.new)?")
#: How much of a file's end may be torn: more than one write.
_TAIL: Final = 1 << 18
#: So near, in bytes of an index, a record is searched by halves.
_NEAR: Final = 1 << 16


@dataclass(frozen=True, order=True)
class Segment:
    """One of a recording's segments.

    Attributes:
        start: absolute offset of its first byte.
    """

    start: int
    folder: Path

    def path(self, kind: str) -> Path:
        """Where that file is, or is to be, while it is not compressed."""
        return self.folder / f"{self.start:020d}{kind}"

    def files(self) -> list[Path]:
        """Those that there are."""
        names = [self.path(kind) for kind in KINDS]
        return [path for name in names for path in (name, name.with_name(name.name + GZ)) if path.exists()]

    def open(self, kind: str) -> IO[bytes] | None:
        """Open a file to read it, compressed or not; None when there is none (any more). What is no file, such as a
        FIFO that somebody has put there and nobody writes to, is none."""
        path = self.path(kind)
        packed = path.with_name(path.name + GZ)
        for _ in range(2):  # it may be compressed just now
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    return path.open("rb")
            with contextlib.suppress(FileNotFoundError):
                if packed.is_file():
                    return io.BufferedReader(gzip.open(packed, "rb"))
        return None

    @property
    def compressed(self) -> bool:
        """Is its raw file compressed?"""
        return not self.path(RAW).is_file()

    def header(self) -> dict[str, Any]:
        """The first line of its index, of which whatever is there has its type; empty when it cannot be read."""
        file = self.open(INDEX)
        if file is None:
            return {}
        with file:
            found = parse(file.readline(LINE_MAX))
        if not isinstance(found, dict):
            return {}
        return {name: value for name, value in found.items() if _TYPES.get(name, _anything)(value)}

    def records(self, behind: int = 0) -> Iterator[list[Any]]:
        """Of its index, in order: [time, offset], [time, offset, kind, …].

        Args:
            behind: those of lower offsets than that are left out, but for the last ones, where that saves time.
        """
        file = self.open(INDEX)
        if file is not None and behind > self.start:
            _skip_to(file, behind)
        yield from _records(file)

    def noted(self, kind: str) -> Iterator[list[Any]]:
        """Those of its index of that kind, in order. Of the others next to nothing is looked at."""
        file, mark = self.open(INDEX), json.dumps(kind).encode()
        if file is None:
            return
        with file:
            while line := file.readline(LINE_MAX):
                if mark in line and is_record(found := parse(line)) and found[2:3] == [kind]:
                    yield found

    def typed(self) -> Iterator[list[Any]]:
        """Who typed what: [time, offset, user, address, text or number of bytes]."""
        yield from _records(self.open(TYPED))


def _anything(_: object) -> bool:
    return True


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_binding(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 3 and all(isinstance(number, int) for number in value)
    )


#: What a header must have to be believed, where it has it: somebody may have written anything there.
_TYPES: Final = {
    "time": _is_time,
    "booted": _is_time,
    "boot": lambda value: isinstance(value, str),
    "binding": _is_binding,
}


def _skip_to(file: IO[bytes], offset: int) -> None:
    """Go to a record of a lower offset, not far before those of that one, in a file that is not compressed."""
    if not isinstance(getattr(file, "raw", None), io.FileIO):
        return
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > _NEAR:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(LINE_MAX)
        found = parse(file.readline(LINE_MAX))
        is_lower = is_record(found) and len(found) == 2 and found[1] < offset
        low, high = (middle, high) if is_lower else (low, middle)
    file.seek(low)
    if low:
        file.readline(LINE_MAX)


def is_record(found: object) -> bool:
    """Is this what a line of an index, behind its header, says?"""
    return isinstance(found, list) and len(found) >= 2 and _is_time(found[0]) and isinstance(found[1], int)


def _records(file: IO[bytes] | None) -> Iterator[list[Any]]:
    if file is None:
        return
    with file:
        while line := file.readline(LINE_MAX):
            found = parse(line)
            if is_record(found):
                yield found


def parse(line: bytes) -> Any:
    """What a line says; None for one that is torn or damaged."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def segments(folder: Path) -> list[Segment]:
    """A recording's, in order."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a hundred thousand foreign files are names here, and no objects
    except FileNotFoundError:
        return []
    return sorted({Segment(int(match[1]), folder) for name in names if (match := _NAME.fullmatch(name))})


def sweep(folder: Path) -> None:
    """Remove what a crash has left: a segment's files that were begun without the raw one, and unfinished ones."""
    known = {segment.start for segment in segments(folder)}
    for path in folder.iterdir() if folder.exists() else ():
        match = _OURS.fullmatch(path.name)
        if match and (match[2] or int(match[1]) not in known):
            path.unlink(missing_ok=True)


def mend(path: Path) -> None:
    """Cut off what a crash, or a full disk, has left of a line at a file's end; a file without a whole line goes."""
    if not path.is_file():
        return
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            begin = file.seek(max(0, size - _TAIL))
            tail = file.read()
            while tail and parse(tail[tail.rfind(b"\n", 0, -1) + 1 :]) is None:
                tail = tail[: tail.rfind(b"\n", 0, -1) + 1]
            if begin + len(tail) < size:
                file.truncate(begin + len(tail))
        if not begin and not tail:
            path.unlink()
    except FileNotFoundError:
        return


def tail(path: Path, limit: int) -> bytes:
    """The last bytes of a file; none of a file that is not there."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            return file.read(limit)
    except FileNotFoundError:
        return b""
