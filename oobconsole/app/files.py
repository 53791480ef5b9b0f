"""The server's folder, and the files in it that tell whoever starts the server where it listens."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import structlog

from oobconsole.errors import EnvironmentFault

log = structlog.get_logger(__name__)


def make_state_dir(folder: Path) -> None:
    """Make the server's folder, if it is missing.

    Raises:
        EnvironmentFault: it cannot be made, or others may write into it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be used as state_dir: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o022:
        raise EnvironmentFault(f"{folder}: others may write into the server's state_dir; chmod 700 it")


def write_ports(folder: Path, name: str, addresses: Sequence[str]) -> None:
    """Write the ports at which the server listens into a file, one a line.

    With port 0 in the configuration the kernel has chosen them, and a script that starts the server can wait for the
    file. If it cannot be written, as on a full disk, an old file is removed all the same, and the server runs on.
    """
    file = folder / name
    fresh = folder / f"{name}.new"
    try:
        for former in (file, fresh):  # whatever lies there: a FIFO would be waited for
            former.unlink(missing_ok=True)
        with fresh.open("x") as opened:
            opened.write("".join(f"{address.rpartition(':')[2]}\n" for address in addresses))
        fresh.replace(file)
    except OSError as error:
        log.error("cannot say which ports are served", file=str(file), reason=error.strerror)
