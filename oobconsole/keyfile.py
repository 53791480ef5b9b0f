"""Reads private keys from files, and makes them on first start: the SSH host key, and the audit log's key."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oobconsole import textfile
from oobconsole.errors import EnvironmentFault

#: What a message says about mending a damaged key.
MEND: Final = (
    "restore it from a backup; or move it away with its .pub, which still verifies what it has signed, and a new one "
    "is made"
)


def mend(path: Path, error: Exception) -> str:
    """Return what to do about a private key that a library refuses with that error."""
    about = str(error).lower()
    if "passphrase" in about or "password" in about:
        return f"the server has nobody to ask for it: remove it with ssh-keygen -p -f {path}"
    return MEND


def load_or_make(path: Path, what: str) -> bytes:
    """Return the bytes of the private key in `path`. When there is none, make an Ed25519 key in OpenSSH's format
    there.

    Args:
        what: what the key is called in errors, and in its comment.

    Raises:
        EnvironmentFault: the file cannot be read or made, is damaged, or others may read it.
    """
    try:
        if _is_to_be_made(path, what):
            _make(path, what)
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise EnvironmentFault(
                f"{path}: others may read this private key; chmod 600 it, or let a new one be made"
            )
        data = textfile.read(path)
    except OSError as error:
        raise EnvironmentFault(f"{path}: the {what} cannot be used: {error.strerror}") from error
    if not data.strip(b"\0"):
        found = "is full of zero bytes" if data else "is empty, though there is a public key beside it"
        raise EnvironmentFault(f"{path}: the {what} {found}, as a crash of the machine leaves it: {MEND}")
    return data


def _is_to_be_made(path: Path, what: str) -> bool:
    """Return whether there is no key yet, so that one is to be made.

    An empty file without a public key beside it never was a key: a first start on a full disk has left it. If there
    is a public key, there was a key. No other key is made silently then, because clients would take the server for
    another.
    """
    if not os.path.lexists(path):
        return True
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise EnvironmentFault(f"{path}: is no file, so it cannot be the {what}: move it away")
    public = path.with_name(path.name + ".pub")
    return not found.st_size and not (public.is_file() and public.stat().st_size)


def _make(path: Path, what: str) -> None:
    """Make both files or none. The private one comes last, because its name says that there is a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption())
    public = key.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
    _put(path.with_name(path.name + ".pub"), public + f" oobconsole {what}\n".encode())
    _put(path, private)


def _put(path: Path, data: bytes) -> None:
    """Write a whole file, or leave nothing. It is written under a name that no other file has, and then renamed."""
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
