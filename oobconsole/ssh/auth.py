"""Who may log in: one file of public keys for each user, in OpenSSH's authorized_keys format.

The file is read at every login, so a change counts at once. Unknown users get the same answers as
wrong keys.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import asyncssh
import structlog

log = structlog.get_logger(__name__)

_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_FILE_MAX: Final = 1 << 20


def key_file(folder: Path, user: str) -> Path | None:
    """The user's file, when the name can be one and there is one."""
    if not _USER.fullmatch(user):
        return None
    for path in (folder / user, folder / f"{user}.pub"):
        if path.is_file():
            return path
    return None


def is_authorized(folder: Path, user: str, key: asyncssh.SSHKey, address: str) -> bool:
    """May `user` log in with `key` from `address`? Lines that cannot be read are logged and do not count."""
    path = key_file(folder, user)
    if path is None:
        return False
    try:
        if path.stat().st_size > _FILE_MAX:
            log.warning("authorized_keys file is too large and ignored", file=str(path), limit=_FILE_MAX)
            return False
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        log.warning("authorized_keys file cannot be read", file=str(path), reason=error.strerror)
        return False
    return any(_matches(path, number, line, key, address) for number, line in enumerate(lines, 1))


def _matches(path: Path, number: int, line: str, key: asyncssh.SSHKey, address: str) -> bool:
    if not line.strip() or line.lstrip().startswith("#"):
        return False
    try:
        allowed = asyncssh.import_authorized_keys(line)
    except ValueError as error:
        log.warning("bad line in an authorized_keys file is ignored", file=f"{path}:{number}", reason=str(error))
        return False
    return allowed.validate(key, address, address) is not None
