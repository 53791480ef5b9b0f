"""The files of an audit log: `audit.jsonl` is written now; `audit.SEQ.jsonl` are older, by their first entry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oobconsole.audit.chain import LINE_MAX, Damaged, Entry, check_signature, decode


def older(file: Path) -> list[Path]:
    """Those that were closed, oldest first."""
    found = file.parent.glob(f"{file.stem}.{'[0-9]' * 12}{file.suffix}")
    return sorted(found)


def all_of(file: Path) -> list[Path]:
    """Every file of the log, oldest first."""
    return [*older(file), *([file] if file.exists() else [])]


def closed_name(file: Path, first_seq: int) -> Path:
    """What a file is called when it is written no more."""
    return file.with_name(f"{file.stem}.{first_seq:012}{file.suffix}")


def lines(file: Path) -> Iterator[bytes]:
    """Its lines, newlines included; one that is too long comes in pieces."""
    with file.open("rb") as stream:
        while line := stream.readline(LINE_MAX):
            yield line


def tail(stream: IO[bytes]) -> tuple[list[bytes], bytes]:
    """The last whole lines, without newlines, and what stands after them. Reads the end of the file only."""
    size = stream.seek(0, os.SEEK_END)
    start = stream.seek(max(0, size - 2 * LINE_MAX))
    *whole, torn = stream.read().split(b"\n")
    return whole[1 if start else 0 :], torn


def last_intact(whole: Sequence[bytes], key: Ed25519PublicKey) -> Entry | None:
    """The last entry among lines that is signed by the key."""
    for line in reversed(whole):
        try:
            entry = decode(line)
            check_signature(entry, key)
        except Damaged:
            continue
        return entry
    return None


def last_entry(file: Path) -> Entry | None:
    """Its last whole line's entry, if that is intact.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        whole, _ = tail(stream)
    try:
        return decode(whole[-1]) if whole else None
    except Damaged:
        return None


def first_entry(file: Path) -> Entry | None:
    """Its first entry, if that is intact.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return decode(next(lines(file), b"").removesuffix(b"\n"))
    except Damaged:
        return None
