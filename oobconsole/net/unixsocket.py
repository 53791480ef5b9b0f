"""Makes a UNIX socket to listen on: private from its first moment, and never in the place of somebody else's."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

from oobconsole.errors import EnvironmentFault

#: `sun_path` holds 108 bytes with its NUL (unix(7)).
PATH_MAX: Final = 107
#: How many connections wait while the process that listens has no time for them; the kernel may allow fewer
#: (net.core.somaxconn). Somebody who comes when the queue is full is turned away, so it is long.
BACKLOG: Final = socket.SOMAXCONN


class UnixSocket:
    """Listens on `path`, mode 0600.

    Args:
        path: at most 107 bytes; a dead process's socket is replaced, its folder made (0700) when missing.

    Attributes:
        socket: non-blocking.

    Raises:
        EnvironmentFault: the path cannot be had, with the reason.
    """

    def __init__(self, path: Path) -> None:
        self.socket = _bind(path)
        self._path = path
        self._inode = path.stat().st_ino

    def close(self) -> None:
        """Stop, and remove the socket unless somebody has put another in its place."""
        self.socket.close()
        self.unlink()

    def unlink(self) -> None:
        """Remove the socket from its folder, without closing it. A second call does nothing."""
        if os.path.lexists(self._path) and self._path.lstat().st_ino == self._inode:
            self._path.unlink()


def _bind(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > PATH_MAX:
        raise EnvironmentFault(f"{path}: a socket's path has at most {PATH_MAX} bytes; choose a shorter one")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_safe(path.parent)
        _remove_stale(path)
        # bind(2) gives the socket in the folder the mode that the socket itself has (net/unix/af_unix.c). umask(2)
        # would do so, too, but it is the whole process's: the files of other threads would get that mode meanwhile.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fsencode(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise EnvironmentFault(f"{path}: cannot listen here: {error.strerror}") from error
    except EnvironmentFault:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _require_safe(folder: Path) -> None:
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise EnvironmentFault(
            f"{folder}: everybody may write here, and put another socket in the place of ours; chmod o-w it"
        )


def _remove_stale(path: Path) -> None:
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise EnvironmentFault(f"{path}: is in the way and no socket; move it, or configure another socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full: somebody listens
    raise EnvironmentFault(f"{path}: another server listens here; stop it, or configure another socket")
