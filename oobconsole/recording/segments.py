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
#: How long a line of JSON may be, in bytes. A longer one is not ours.
LINE_MAX: Final = 1 << 17
_NAME: Final = re.compile(r"(\d{20})\.raw(?:\.gz)?", re.ASCII)
_OURS: Final = re.compile(r"(\d{20})\.(?:raw|idx|cast|typed)(?:\.gz)?(\.new)?", re.ASCII)
#: How many bytes at the end of a file may be torn: more than one write has.
_TAIL: Final = 1 << 18
#: How near to a record a search by halves goes, in bytes of the index.
_NEAR: Final = 1 << 16
#: The errors of gzip for a file that is no gzip file, was cut, or was changed. If the disk fails, that is another
#: `OSError`.
DAMAGE: Final = (gzip.BadGzipFile, EOFError, zlib.error)
_limit: Final = LogLimit(20)


class UpToDamage(io.RawIOBase):
    """A compressed file, as far as it can be read. Where it is damaged it ends, and the log says so.

    Args:
        path: the path of a gzip file.
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
    """One segment of a recording.

    Attributes:
        start: the absolute offset of its first byte.
        folder: the folder of the recording.
    """

    start: int
    folder: Path

    def path(self, kind: str) -> Path:
        """Return the path of a file of the segment, without the ending of a compressed file."""
        return self.folder / f"{self.start:020d}{kind}"

    def files(self) -> list[Path]:
        """The segment's files that exist."""
        names = [self.path(kind) for kind in KINDS]
        return [path for name in names for path in (name, name.with_name(name.name + GZ)) if path.exists()]

    def open(self, kind: str) -> IO[bytes] | None:
        """Open a file to read it, whether it is compressed or not; None: there is none, or no longer. Only regular
        files count: somebody may have put a FIFO there to which nobody writes."""
        path = self.path(kind)
        packed = path.with_name(path.name + GZ)
        for _ in range(2):  # the file may be compressed just between the two looks
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
        """Return the first line of the index. Fields that do not have the right type are left out; empty: the line
        cannot be read."""
        file = self.open(INDEX)
        if file is None:
            return {}
        with file:
            found = parse(file.readline(LINE_MAX))
        if not isinstance(found, dict):
            return {}
        return {name: value for name, value in found.items() if _TYPES.get(name, _anything)(value)}

    def records(self, behind: int = 0) -> Iterator[list[Any]]:
        """Yield the records of the index in order: [time, offset] and [time, offset, kind, …].

        Args:
            behind: records of lower offsets are left out, except for the last of them, if that saves time.
        """
        file = self.open(INDEX)
        if file is not None and behind > self.start:
            _skip_to(file, behind)
        yield from _records(file)

    def noted(self, kind: str) -> Iterator[list[Any]]:
        """Yield the records of one kind from the index, in order. Next to no time is spent on the other records."""
        file, mark = self.open(INDEX), json.dumps(kind).encode()
        if file is None:
            return
        with file:
            while line := file.readline(LINE_MAX):
                if mark in line and is_record(found := parse(line)) and found[2:3] == [kind]:
                    yield found

    def typed(self) -> Iterator[list[Any]]:
        """Yield who typed what, as lists: time, offset, user, address, and the text or the number of bytes."""
        yield from _records(self.open(TYPED))


def _anything(_: object) -> bool:
    return True


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_binding(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and len(value) == 3 and all(isinstance(number, int) for number in value)
    )


#: Which type a field of a header must have to be believed. Somebody may have written anything there.
_TYPES: Final = {
    "time": _is_time,
    "booted": _is_time,
    "boot": lambda value: isinstance(value, str),
    "binding": _is_binding,
}


def _skip_to(file: IO[bytes], offset: int) -> None:
    """Go to a record of a lower offset, not far before the records of that offset. Only in a file that is not
    compressed."""
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
        names = os.listdir(folder)  # noqa: PTH208 - of a hundred thousand foreign files only the names are made
    except FileNotFoundError:
        return []
    return sorted({Segment(int(match[1]), folder) for name in names if (match := _NAME.fullmatch(name))})


def sweep(folder: Path) -> None:
    """Remove what a crash has left: files of a segment without a raw file, and files that were not finished."""
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
    except (IsADirectoryError, PermissionError):  # unlink(2) has these two errors for a folder
        if path.is_symlink() or not path.is_dir():
            raise


def mend(path: Path) -> None:
    """Cut off what a crash or a full disk has left at the end of a file: a part of a line, or any number of zero
    bytes. A file without a whole line is removed."""
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
    """Return where the last line ends that can be parsed; 0: there is none."""
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
