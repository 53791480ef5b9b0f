"""Private keys in files, made on first start and kept private: the SSH host key, the audit log's key."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oobconsole.errors import EnvironmentFault


def load_or_make(path: Path, what: str) -> bytes:
    """Return the private key in `path`, an Ed25519 key in OpenSSH's format made there when there is none.

    Args:
        what: the key's name for errors and for its comment.

    Raises:
        EnvironmentFault: it cannot be read or made, or others may read it.
    """
    try:
        if not os.path.lexists(path) or path.stat().st_size == 0:  # empty: a full disk, or a crash, has left it
            _make(path, what)
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise EnvironmentFault(
                f"{path}: others may read this private key; chmod 600 it, or let a new one be made"
            )
        return path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(f"{path}: the {what} cannot be used: {error.strerror}") from error


def _make(path: Path, what: str) -> None:
    """Both files, or none: the private one, whose name says that there is a key, comes last."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption())
    public = key.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
    _put(path.with_name(path.name + ".pub"), public + f" oobconsole {what}\n".encode())
    _put(path, private)


def _put(path: Path, data: bytes) -> None:
    """Write a whole file, or leave nothing. Its first name is nobody else's, whatever others have left."""
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
