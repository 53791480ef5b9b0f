"""The server's host key: made on first start, kept private."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import asyncssh

from oobconsole.errors import EnvironmentFault


def load_or_make(path: Path) -> asyncssh.SSHKey:
    """Return the host key in `path`, an Ed25519 key made there when there is none (mode 0600).

    Raises:
        EnvironmentFault: it cannot be read or made, or others may read it.
    """
    try:
        if not os.path.lexists(path):
            _make(path)
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise EnvironmentFault(
                f"{path}: others may read this private key; chmod 600 it, or let a new one be made"
            )
        return asyncssh.read_private_key(path)
    except OSError as error:
        raise EnvironmentFault(f"{path}: the host key cannot be used: {error.strerror}") from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise EnvironmentFault(f"{path}: is no usable private key: {error}") from error


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519", comment="oobconsole host key")
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.export_private_key())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    path.with_name(path.name + ".pub").write_bytes(key.export_public_key())
