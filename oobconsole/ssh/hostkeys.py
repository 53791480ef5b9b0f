"""The server's host key: made on first start, kept private."""

from __future__ import annotations

from pathlib import Path

import asyncssh

from oobconsole import keyfile
from oobconsole.errors import EnvironmentFault


def load_or_make(path: Path) -> asyncssh.SSHKey:
    """Return the host key in `path`, an Ed25519 key made there when there is none (mode 0600).

    Raises:
        EnvironmentFault: it cannot be read or made, or others may read it.
    """
    data = keyfile.load_or_make(path, "host key")
    try:
        return asyncssh.import_private_key(data)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise EnvironmentFault(f"{path}: is no usable private key: {error}") from error
