"""Who may log in: one file of public keys for each user, in OpenSSH's authorized_keys format.

The file is read at every login, so a change counts at once. A user without a file is one without keys:
the client cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import asyncssh
import structlog

log = structlog.get_logger(__name__)

_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_FILE_MAX: Final = 1 << 20
#: Options (sshd(8), AUTHORIZED_KEYS FILE FORMAT) about what nobody is offered here.
_MOOT: Final = ("agent-forwarding", "port-forwarding", "user-rc", "x11-forwarding", "touch-required")
#: Those that asyncssh or we honour. A line with another one would let in more than its author meant.
_OPTIONS: Final = frozenset({
    *_MOOT, *(f"no-{option}" for option in _MOOT), "environment", "permitlisten", "permitopen", "tunnel",
    "cert-authority", "command", "from", "no-pty", "principals", "pty", "restrict",
})  # fmt: skip


class UserKeys(asyncssh.SSHAuthorizedKeys):
    """The keys of `user` in `folder`, as they are now. Lines that cannot be used are logged and do not count."""

    def __init__(self, folder: Path, user: str) -> None:
        super().__init__()
        self._lines: list[tuple[str, asyncssh.SSHAuthorizedKeys]] = []
        path = _key_file(folder, user)
        if path is not None:
            self._read(path)

    def validate(
        self,
        key: asyncssh.SSHKey,
        client_host: str,
        client_addr: str,
        cert_principals: Sequence[str] | None = None,
        ca: bool = False,
    ) -> Mapping[str, object] | None:
        """The options of the first line that lets `key` in, or None."""
        for place, line in self._lines:
            options = line.validate(key, client_host, client_addr, cert_principals, ca)
            if options is None:
                continue
            unknown = {option.lower() for option in options} - _OPTIONS
            if not unknown:
                return {**options, "no-pty": True} if "restrict" in options and "pty" not in options else options
            log.warning("authorized key is ignored for its options", file=place, unsupported=sorted(unknown))
        return None

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                data = file.read(_FILE_MAX + 1)
        except OSError as error:
            log.warning("authorized_keys file cannot be read", file=str(path), reason=error.strerror)
            return
        if len(data) > _FILE_MAX:
            log.warning("authorized_keys file is too large and ignored", file=str(path), limit=_FILE_MAX)
            return
        for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                self._add(f"{path}:{number}", line)

    def _add(self, place: str, line: str) -> None:
        try:
            self._lines.append((place, asyncssh.import_authorized_keys(line)))
        except ValueError:
            log.warning("bad line in an authorized_keys file is ignored: no public key is in it", file=place)


def _key_file(folder: Path, user: str) -> Path | None:
    """The user's file, when the name can be one and there is one."""
    if not _USER.fullmatch(user) or user.endswith(".pub"):
        return None
    try:
        return next((path for path in (folder / user, folder / f"{user}.pub") if path.is_file()), None)
    except OSError as error:
        log.warning("authorized_keys folder cannot be read", folder=str(folder), reason=error.strerror)
        return None
