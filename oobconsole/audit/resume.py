"""Finds where an audit log goes on after a restart: behind the last entry that its key signed, whatever follows that.

A crash of the machine leaves a last line that is cut short, or, on file systems that note a file's size before its
content, zero bytes. Somebody may have cut, emptied or changed the file. What was found is signed into the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oobconsole.audit import files
from oobconsole.audit.chain import LINE_MAX, Entry


@dataclass(slots=True)
class Resume:
    """What was found in the files of a log.

    Attributes:
        last: the entry behind which the log goes on; None: there is no entry.
        before: the older file that a new one continues.
        open_line: the file does not end with a newline.
        torn: size and SHA-256 of a last line that was cut short.
        damage: what was found that no crash of the server explains, in words; empty: nothing.
    """

    last: Entry | None = None
    before: Path | None = None
    open_line: bool = False
    torn: dict[str, object] = field(default_factory=dict)
    damage: str = ""


def look(file: Path, key: Ed25519PublicKey, *, expected: bool) -> Resume:
    """Look at a log that nobody writes now.

    Args:
        expected: there should be entries, because the key existed before this start of the server.

    Raises:
        OSError: a file cannot be read.
    """
    older = files.older(file)
    if file.stat().st_size:
        return _behind_end(file, older, key)
    if older:
        return _behind_older(older, key)
    lost = "there is no entry, though the key was here before: it was emptied or removed, or never had one"
    return Resume(damage=lost if expected else "")


def _behind_older(older: list[Path], key: Ed25519PublicKey) -> Resume:
    """The file is new, but the log is not: it ended after a rotation."""
    found = Resume(files.last_entry(older[-1]), older[-1])
    if found.last is None:
        found.last = files.last_signed(reversed(older), key)
        found.damage = f"{older[-1].name} does not end with an entry"
    return found


def _behind_end(file: Path, older: list[Path], key: Ed25519PublicKey) -> Resume:
    with file.open("rb") as stream:
        whole, end = files.tail(stream)
    found = Resume(open_line=bool(end))
    found.last = files.last_intact([*whole, end], key) or files.last_signed([file, *reversed(older)], key)
    if end and files.last_intact([end], key) is None:
        if damage := _no_torn_line(file, end):
            found.damage = damage
        else:
            found.torn = {"bytes": len(end), "sha256": hashlib.sha256(end).hexdigest()}
    if not found.damage and (files.last_intact(whole[-1:], key) is None if whole else len(end) > LINE_MAX):
        found.damage = "the last line is no entry that this key signed"
    return found


def _no_torn_line(file: Path, end: bytes) -> str:
    """Why the last line, which has no end, was not cut short by a crash of the server. Empty: it may have been."""
    size, zeros = file.stat().st_size, files.zeros_at_end(file)
    if zeros:
        return f"{file.name} ends with {zeros} zero bytes, from byte {size - zeros} on"
    if 0 in end:
        return f"{file.name} has zero bytes in its last line, from byte {size - len(end) + end.index(0)} on"
    return ""
