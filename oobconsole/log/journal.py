"""The journal's native protocol: one datagram for each record (systemd.io/JOURNAL_NATIVE_PROTOCOL).

Nobody waits for the journal: a record that the journal does not take at once is lost, and the next record says how
many were lost.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
from pathlib import Path
from typing import Any, Final

from oobconsole.errors import EnvironmentFault

SOCKET: Final = Path("/run/systemd/journal/socket")
#: The most bytes of one field; a longer one is cut. A datagram of a few such fields fits every default socket buffer.
FIELD_MAX: Final = 16384
#: syslog(3)'s levels, by structlog's and logging's names.
_PRIORITY: Final = {"critical": 2, "exception": 3, "error": 3, "warning": 4, "info": 6, "debug": 7}
_NAME: Final = re.compile(r"[^A-Z0-9_]")


def encode(fields: dict[str, str]) -> bytes:
    """The datagram of a record: KEY=value for each field, or the protocol's long form for a value of several
    lines."""
    out = bytearray()
    for key, text in fields.items():
        value = text.encode("utf-8", "replace")[:FIELD_MAX]
        if b"\n" in value:
            out += key.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
        else:
            out += key.encode() + b"=" + value + b"\n"
    return bytes(out)


def _field(key: str) -> str:
    return f"OOB_{_NAME.sub('_', key.upper())}"[:64]


class Journal:
    """A connection to the journal.

    Attributes:
        lost: how many records the journal did not take, so far.

    Raises:
        EnvironmentFault: there is no journal on this host.
    """

    def __init__(self, path: Path = SOCKET) -> None:
        self.lost = 0
        self._untold = 0
        self._path = path
        self._one_at_a_time = threading.Lock()
        try:
            self._socket: socket.socket | None = self._connect()
        except OSError as error:
            raise EnvironmentFault(
                f"{path}: there is no journal here: {error.strerror}; "
                'set log = "json" or "console" in [server], or start systemd-journald'
            ) from error

    def send(self, level: str, message: str, more: dict[str, str]) -> None:
        """Send a record; returns at once.

        Args:
            level: a level of structlog or logging, such as `warning`.
            message: what `journalctl` shows.
            more: further fields, by their names here; the journal gets them as OOB_NAME.
        """
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(_PRIORITY.get(level, 6)),
            "SYSLOG_IDENTIFIER": "oobconsole",
            **{_field(key): value for key, value in more.items()},
        }
        with self._one_at_a_time:
            if self._untold:
                fields["OOB_RECORDS_LOST"] = str(self._untold)
            if self._sent(encode(fields)):
                self._untold = 0
            else:
                self._untold += 1
                self.lost += 1

    def _sent(self, record: bytes) -> bool:
        """Did the journal take the record? A journal that was started again has another socket, so try twice."""
        for _ in range(2):
            try:
                if self._socket is None:
                    self._socket = self._connect()
                self._socket.send(record)
            except BlockingIOError:
                return False  # the journal is full now; it will take a later record
            except OSError:
                self._close()
            else:
                return True
        return False

    def _connect(self) -> socket.socket:
        fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            fresh.connect(str(self._path))
        except OSError:
            fresh.close()
            raise
        return fresh

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class JournalLogger:
    """What structlog writes to, when the log goes to the journal. The level is in the record, so all methods are
    one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def msg(self, *, event: str, level: str, **more: Any) -> None:
        """Send a record. Its message names the fields, too, so that it can be read without them."""
        exception = more.pop("exception", "")
        about = " ".join(f"{key}={value!r}" for key, value in more.items())
        text = f"{event} {about}".rstrip() + (f"\n{exception}" if exception else "")
        self._journal.send(level, text, {key: str(value) for key, value in more.items()})

    debug = info = warning = error = critical = exception = msg


class JournalHandler(logging.Handler):
    """Sends the records of libraries, which use the standard library's logging, to the journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._journal.send(record.levelname.lower(), self.format(record), {"logger": record.name})
        except Exception:
            self.handleError(record)
