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
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import structlog

from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

RAW: Final = ".raw"
INDEX: Final = ".idx"
CAST: Final = ".cast"
TYPED: Final = ".typed"
KINDS: Final = (RAW, INDEX, CAST, TYPED)
GZ: Final = ".gz"
#: A line of JSON that is longer is not ours.
LINE_MAX: Final = 1 << 17
_NAME: Final = re.compile(r"(\d{20})\.raw(?:\.gz)?", re.ASCII)
_OURS: Final = re.compile(r"(\d{20})\.(?:raw|idx|cast|typed)(?:\.gz)?(\.new)?", re.ASCII)
#: How much of a file's end may be torn: more than one write.
_TAIL: Final = 1 << 18
#: So near, in bytes of an index, a record is searched by halves.
_NEAR: Final = 1 << 16
#: What gzip says of a file that is none, or is cut or changed. A disk that fails is another `OSError`.
DAMAGE: Final = (gzip.BadGzipFile, EOFError, zlib.error)
_limit: Final = LogLimit(20)


class UpToDamage(io.RawIOBase):
    """A compressed file as far as it can be read: behind damage it ends, which is said in the log.

    Args:
        path: of a gzip file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - closed by `close`
        self._at = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self._ended:
            try:
                self._at = self._file.seek(offset, whence)
            except DAMAGE as error:
                self._end(error)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = b""
        if not self._ended:
            try:
                data = self._file.read(len(buffer))
            except DAMAGE as error:
                self._end(error)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _end(self, error: Exception) -> None:
        self._ended = True
        if _limit.allows():
            log.error("a compressed recording is damaged, and read up to there: restore it, or remove it",
                      file=str(self._path), reason=str(error))  # fmt: skip


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
        """The segment's files that exist."""
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
                    return io.BufferedReader(UpToDamage(packed))
        return None

    @property
    def compressed(self) -> bool:
        """Whether the segment's raw file is compressed."""
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
    """Return whether a value can be a record of an index, that is, a line behind its header."""
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
    """Return the value of a line of JSON; None if the line is torn or damaged."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None


def is_ours(name: str) -> bool:
    """Return whether a file of a segment can have that name."""
    return _OURS.fullmatch(name) is not None


def segments(folder: Path) -> list[Segment]:
    """Return the segments of the recording in a folder, in the order of their offsets."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - a hundred thousand foreign files are names here, and no objects
    except FileNotFoundError:
        return []
    return sorted({Segment(int(match[1]), folder) for name in names if (match := _NAME.fullmatch(name))})


def sweep(folder: Path) -> None:
    """Remove what a crash has left: a segment's files that were begun without the raw one, and unfinished ones."""
    known = {segment.start for segment in segments(folder)}
    try:
        names = os.listdir(folder)  # noqa: PTH208 - as above
    except FileNotFoundError:
        return
    for name in names:
        match = _OURS.fullmatch(name)
        if match and (match[2] or int(match[1]) not in known):
            remove(folder / name)


def remove(path: Path) -> None:
    """Remove a file of any kind. A folder of that name, which somebody else has made, is left alone."""
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # unlink(2): a folder
        if path.is_symlink() or not path.is_dir():
            raise


def mend(path: Path) -> None:
    """Cut off what a crash, or a full disk, has left at a file's end: a part of a line, or zero bytes, however many.
    A file without a whole line goes."""
    if not path.is_file():
        return
    try:
        with path.open("r+b") as file:
            size = end = file.seek(0, os.SEEK_END)
            kept = 0
            while end and not kept:
                begin = file.seek(max(0, end - _TAIL))
                kept = begin + _whole_lines(file.read(end - begin))
                end, kept = begin, kept if kept > begin else 0
            if kept < size:
                file.truncate(kept)
        if not kept:
            path.unlink()
    except FileNotFoundError:
        return


def _whole_lines(data: bytes) -> int:
    """Up to where the last line that says something reaches; 0: there is none."""
    end = data.rfind(b"\n") + 1
    while end and parse(data[data.rfind(b"\n", 0, end - 1) + 1 : end]) is None:
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def tail(path: Path, limit: int) -> bytes:
    """Return the last bytes of a file; none if there is no such file."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            return file.read(limit)
    except FileNotFoundError:
        return b""
