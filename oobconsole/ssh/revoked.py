"""Revoked keys and certificates.

The file is a text of the lines that `ssh-keygen -k` takes (ssh-keygen(1), KEY REVOCATION LISTS). The binary KRL that
ssh-keygen makes of such lines cannot be used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh
import structlog

from oobconsole import textfile
from oobconsole.errors import EnvironmentFault
from oobconsole.ssh.authorized import public_key

log = structlog.get_logger(__name__)

_FINGERPRINT: Final = re.compile(r"(?:(?:hash|sha256):\s*)?(?:SHA256:)?([A-Za-z0-9+/]{43})=?", re.IGNORECASE)
#: No zero in front, because ssh-keygen would take the number for octal. And not 0, which all certificates without a
#: number have.
_SERIAL: Final = re.compile(r"serial:\s*([1-9][0-9]{0,19})(?:-([1-9][0-9]{0,19}))?", re.IGNORECASE)
_SERIAL_MAX: Final = (1 << 64) - 1
_KIND: Final = re.compile(r"(?:key|sha1|sha256):\s*", re.IGNORECASE)
_ID: Final = re.compile(r"id:\s*(\S.*)", re.IGNORECASE)
_FILE_MAX: Final = 16 << 20


@dataclass(slots=True)
class Revoked:
    """The keys (by fingerprint) and the certificates (by number and by ID) that a file revokes."""

    fingerprints: set[str] = field(default_factory=set)
    serials: list[range] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def key(self, key: asyncssh.SSHKey) -> bool:
        """Return whether this key, of a user or a CA, is revoked."""
        return key.get_fingerprint().removeprefix("SHA256:") in self.fingerprints

    def certificate(self, serial: int, key_id: str) -> bool:
        """Return whether the certificate with this number or this ID is revoked. Number 0 never is: all certificates
        without a number have it."""
        return key_id in self.ids or (serial > 0 and any(serial in numbers for numbers in self.serials))


def check(data: bytes, path: Path) -> Revoked:
    """Parse the bytes of the file, as `parse` does. If there are none, the log says so."""
    if not data:
        log.warning("revoked_keys is empty: nothing is revoked. If it was not, restore it and reload", file=str(path))
    return parse(data, path)


def read(path: Path) -> bytes:
    """Return the bytes of the file. Raises `EnvironmentFault` if it cannot be read."""
    try:
        return textfile.read(path, _FILE_MAX + 1)
    except OSError as error:
        raise EnvironmentFault(f"{path}: revoked_keys cannot be read: {error.strerror}") from error


def parse(data: bytes, path: Path) -> Revoked:
    """Parse the bytes of the file.

    Args:
        data: the bytes.
        path: the path of the file, for messages.

    Raises:
        EnvironmentFault: a line cannot be understood. Why is that no warning? The line may be the one that matters.
    """
    if data.startswith(b"SSHKRL\n"):
        raise EnvironmentFault(f"{path}: a binary KRL is not read; put the lines that it was made of into this file")
    if len(data) > _FILE_MAX:
        raise EnvironmentFault(f"{path}: has more than {_FILE_MAX >> 20} MiB")
    try:
        lines = textfile.decode(data, errors="replace").splitlines()
    except textfile.NotText as error:
        raise EnvironmentFault(f"{path}: {error}") from error
    found = Revoked()
    for number, line in enumerate(lines, 1):
        if match := _ID.fullmatch(line.strip()):
            found.ids.add(match[1].strip())  # the whole line, because an ID may have a # in it
        text = line.partition("#")[0].strip()  # ssh-keygen, too, takes a comment off any line
        if text and not _add(found, text):
            if "\0" in text:
                raise EnvironmentFault(f"{path}:{number}: has zero bytes, as a crash leaves them: write it anew")
            raise EnvironmentFault(
                f"{path}:{number}: is no public key, fingerprint (SHA256:…), 'serial: N', 'serial: N-M' or 'id: …'"
                " (N from 1 on, without zeros in front)"
            )
    return found


def _add(found: Revoked, text: str) -> bool:
    if match := _SERIAL.fullmatch(text):
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last <= _SERIAL_MAX:
            return False
        found.serials.append(range(first, last + 1))
    elif match := _FINGERPRINT.fullmatch(text):
        found.fingerprints.add(match[1])
    elif match := _ID.fullmatch(text):
        found.ids.add(match[1].strip())
    else:
        key = public_key(_KIND.sub("", text, count=1) if _KIND.match(text) else text)
        if key is None:
            return False
        found.fingerprints.add(key.get_fingerprint().removeprefix("SHA256:"))
    return True
