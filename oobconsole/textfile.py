"""Reads text files that people wrote on whatever system: UTF-8, with a byte order mark in front or without."""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from pathlib import Path
from typing import Final

_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Byte order marks. Where files were joined (`type a.pub b.pub > keys`), one may begin any line.
_MARKS: Final = re.compile(r"^\ufeff+", re.MULTILINE)


class NotText(ValueError):
    """A file is not UTF-8. The message says what it is, and what to do; it can stand behind the file's name."""


def read(path: Path, most: int = -1) -> bytes:
    """Read a file, or its first `most` bytes. Nothing is waited for, as opening a FIFO would.

    Raises:
        OSError: it cannot be read, or is not a file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file: move it away", str(path))
        return file.read(most)


def decode(data: bytes, *, errors: str = "strict") -> str:
    """The text of a file, without the byte order marks (U+FEFF) that editors on Windows put in front.

    Args:
        errors: as for `bytes.decode`; "replace" where one bad byte must not cost the rest.

    Raises:
        NotText: it is UTF-16, as PowerShell's `>` writes it, or is no UTF-8.
    """
    head = data[:64]
    if head and not head.strip(b"\0"):
        raise NotText(
            "begins with zero bytes, which a crash of the machine has left in the place of what was in it: "
            "restore it from a backup, or write it anew"
        )
    if data.startswith(_UTF_16) or head.count(0) > len(head) // 4:
        raise NotText("is UTF-16 and not UTF-8: save it as UTF-8 (PowerShell: Out-File -Encoding utf8)")
    try:
        return _MARKS.sub("", data.decode("utf-8", errors))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotText(f"is not UTF-8: line {line} has the byte {data[error.start]:#04x}; save it as UTF-8") from error
