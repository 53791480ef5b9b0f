"""Sends copies of entries to syslog or the journal: datagrams to /dev/log, for which nobody waits."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

#: Where syslog daemons and journald listen.
DEV_LOG: Final = Path("/dev/log")
_AUTHPRIV_INFO: Final = 10 << 3 | 6  # RFC 5424, 6.2.1


class Syslog:
    """Sends lines. A line that cannot be sent at once is counted in `unsent` and dropped, because the file has it."""

    def __init__(self, path: Path = DEV_LOG) -> None:
        self.unsent = 0
        self._path = path
        self._socket: socket.socket | None = None
        self._head = f"<{_AUTHPRIV_INFO}>oobconsole-audit[{os.getpid()}]: ".encode()

    def send(self, line: bytes) -> bool:
        """Send one line, and connect again if the daemon was restarted. False: the line was dropped."""
        for _ in range(2):
            try:
                self._connected().send(self._head + line)
            except BlockingIOError:
                break
            except OSError:
                self.close()
            else:
                return True
        self.unsent += 1
        return False

    def close(self) -> None:
        """Close the socket; the next line opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            fresh.setblocking(False)
            try:
                fresh.connect(str(self._path))
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket
