"""The files of an audit log: finding them, and reading their lines.

`audit.jsonl` is written now. The older files are `audit.SEQ.jsonl`, by the number of their first entry.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oobconsole.audit.chain import LINE_MAX, Damaged, Entry, check_signature, decode

#: How far back the last entry that the key signed is looked for: so many bytes of the log's end, and so many lines
#: that another key signed. Beyond that, the answer is that no entry was found.
_BACK_MAX: Final = 256 << 20
_OTHERS_MAX: Final = 1000
_BLOCK: Final = 1 << 20


class Line(NamedTuple):
    """A line of a file, newline included.

    Attributes:
        number: counted from 1.
        offset: of its first byte in the file.
        data: the line; of a line that is longer than any entry, only its first LINE_MAX bytes.
        zeros: how many zero bytes are in the whole line. An entry has none.
        first_zero: the offset in the file of the first zero byte.
    """

    number: int
    offset: int
    data: bytes
    zeros: int = 0
    first_zero: int = 0

    @property
    def damage(self) -> str:
        """Say what shows that something else than a crash of the server has damaged the line.

        Empty: the line is whole, or a crash of the server explains what is wrong with it.
        """
        if self.zeros:
            return (
                f"has {self.zeros} zero bytes, from byte {self.first_zero} of the file on: a crash of the machine, "
                "or its disk, has left them in the place of what was written"
            )
        if len(self.data) == LINE_MAX and not self.data.endswith(b"\n"):
            return f"is longer than any entry (from byte {self.offset} of the file on)"
        return ""


def is_plain(file: Path) -> bool:
    """Return whether the path is that of a regular file, or of a link to one. Why is it asked? Opening a FIFO would
    wait for its other end."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except FileNotFoundError:
        return False


def older(file: Path) -> list[Path]:
    """The log's closed files, oldest first. `file` is the one that is written now.

    Names are compared before any file is looked at, because a hundred thousand foreign files may lie beside them.
    """
    name = closed_names(file)
    try:
        names = os.listdir(file.parent)  # noqa: PTH208 - only those that match become paths
    except FileNotFoundError:
        return []
    found = (file.with_name(each) for each in sorted(filter(name.fullmatch, names)))
    return [path for path in found if is_plain(path)]


def all_of(file: Path) -> list[Path]:
    """Every file of the log, oldest first; the one that is written now is the last."""
    return [*older(file), *([file] if file.exists() else [])]


def closed_names(file: Path) -> re.Pattern[str]:
    """A pattern for the names that `closed_name` gives, whatever the number."""
    return re.compile(rf"{re.escape(file.stem)}\.\d{{12}}{re.escape(file.suffix)}", re.ASCII)


def closed_name(file: Path, first_seq: int) -> Path:
    """The name of a file that is written no more, and whose first entry has that number."""
    return file.with_name(f"{file.stem}.{first_seq:012}{file.suffix}")


def lines(file: Path) -> Iterator[Line]:
    """The lines of a file.

    Raises:
        OSError: it cannot be read, or is not a file; a FIFO would be waited for.
    """
    if file.exists() and not is_plain(file):
        raise OSError(errno.EINVAL, "is no file", str(file))
    with file.open("rb") as stream:
        number = at = 0
        while data := stream.readline(LINE_MAX):
            number += 1
            line, piece = Line(number, at, data), data
            while piece:
                line = _with_zeros(line, piece, at)
                at += len(piece)
                piece = b"" if piece.endswith(b"\n") else stream.readline(LINE_MAX)
            yield line


def _with_zeros(line: Line, piece: bytes, at: int) -> Line:
    zeros = piece.count(0)
    if not zeros:
        return line
    first = line.first_zero if line.zeros else at + piece.index(0)
    return line._replace(zeros=line.zeros + zeros, first_zero=first)


def tail(stream: IO[bytes]) -> tuple[list[bytes], bytes]:
    """The last whole lines, without newlines, and the bytes after them. Reads the last 2 * LINE_MAX bytes only."""
    size = stream.seek(0, os.SEEK_END)
    start = stream.seek(max(0, size - 2 * LINE_MAX))
    *whole, torn = stream.read().split(b"\n")
    return whole[1 if start else 0 :], torn


def last_intact(whole: Sequence[bytes], key: Ed25519PublicKey) -> Entry | None:
    """The last of these lines that is an entry signed by the key; None: there is none."""
    for line in reversed(whole):
        try:
            entry = decode(line)
            check_signature(entry, key)
        except Damaged:
            continue
        return entry
    return None


def last_signed(newest_first: Iterable[Path], key: Ed25519PublicKey) -> Entry | None:
    """The log's last entry that the key signed, whatever stands behind that entry, and whichever file it is in.

    Looks at `_BACK_MAX` bytes at most. None: there is no such entry in them.

    Raises:
        OSError: a file cannot be read.
    """
    others, left = 0, _BACK_MAX
    for file in newest_first:
        for line in _backwards(file, left):
            left -= len(line) + 1
            try:
                entry = decode(line)
            except Damaged:
                continue
            try:
                check_signature(entry, key)
            except Damaged:
                others += 1
                if others >= _OTHERS_MAX:
                    return None
            else:
                return entry
    return None


def _backwards(file: Path, most: int) -> Iterator[bytes]:
    """The lines of a file from the last to the first, without lines that are longer than an entry.

    Looks at the last `most` bytes. A block that is full of zeros gives one empty line.
    """
    with file.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        least, rest = max(0, end - most), b""
        while end > least:
            start = max(least, end - _BLOCK)
            stream.seek(start)
            block = stream.read(end - start)
            end = start
            if not block.strip(b"\0"):
                rest = b""
                continue
            first, *whole = (block + rest).split(b"\n")
            yield from reversed(whole)
            rest = first if len(first) <= LINE_MAX else b""
        yield rest


def zeros_at_end(file: Path) -> int:
    """Return how many zero bytes the file ends with. Raises `OSError` if it cannot be read."""
    count = 0
    with file.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            block = stream.read(end - start)
            zeros = len(block) - len(block.rstrip(b"\0"))
            count, end = count + zeros, start
            if zeros < len(block):
                break
    return count


def last_entry(file: Path) -> Entry | None:
    """The entry in the file's last whole line. None: that line is not an intact entry, or there is none.

    Raises:
        OSError: it cannot be read, or is not a file.
    """
    if not is_plain(file):
        raise OSError(errno.EINVAL, "is no file", str(file))
    with file.open("rb") as stream:
        whole, torn = tail(stream)
    try:
        return decode(whole[-1]) if whole and b"\0" not in torn else None
    except Damaged:
        return None


def first_entry(file: Path) -> Entry | None:
    """The entry in the file's first line. None: that line is not an intact entry, or there is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return decode(stream.readline(LINE_MAX).removesuffix(b"\n"))
    except Damaged:
        return None
