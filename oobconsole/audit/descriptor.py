"""Opens the file that an audit log is appended to: it must really be a file, and nobody else may append to it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from oobconsole.errors import EnvironmentFault

#: Why O_NONBLOCK? What lies there may be a FIFO, or a device that is not ready, and must not be waited for.
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_to_append(file: Path) -> int:
    """Open the file, or make it with mode 0600, and lock it. Returns the descriptor.

    Raises:
        EnvironmentFault: another server writes it, or something else than a file lies there.
        OSError: it cannot be opened, made or locked.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, _FLAGS, 0o600)
    except OSError as error:
        if error.errno != errno.ENXIO:  # open(2): a UNIX socket
            raise
        raise _no_file(file) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_file(file)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sync_folder(file.parent)
    except BlockingIOError:
        os.close(descriptor)
        raise EnvironmentFault(
            f"{file}: another server has this state_dir and writes this audit log: "
            "stop it, or give this one a state_dir of its own"
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _no_file(file: Path) -> EnvironmentFault:
    return EnvironmentFault(f"{file}: is no file, so it cannot be the audit log: move it away, or set [audit] file")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
