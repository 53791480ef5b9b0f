"""Writes the audit log: a bounded queue, and one thread that appends, syncs and rotates.

Whoever emits an event never waits. An entry is on disk (fdatasync) a few milliseconds later; entries that come
meanwhile share the next sync. While nothing can be written, entries wait. Entries beyond QUEUE_MAX are lost, and the
first entry that can be written again says how many. That nothing can be written is announced at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oobconsole import clock, supervise
from oobconsole.audit import chain, files, resume
from oobconsole.audit.descriptor import open_to_append
from oobconsole.audit.syslog import Syslog
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Kind
from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

#: How many entries may wait for the disk.
QUEUE_MAX: Final = 10_000
_BATCH_MAX: Final = 256  # entries for each sync
_RETRY_SECONDS: Final = 1.0
_RETRY_CLOSING_SECONDS: Final = 0.25  # while the log is being closed, as there is little time then
#: The events that are audited: what people do, what the server does to people, and which alerts were told, of which
#: `max_alerts` bounds how many there are. What guests do besides is not audited.
AUDITED: Final = frozenset(Kind) - {Kind.MESSAGE, Kind.CONSOLE, Kind.LOST}

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Waiting:
    at: float
    fields: Fields


class AuditLog:
    """An open audit log. `put` is a sink of `Events`.

    Args:
        file: is appended to. The log's older files lie beside it.
        key: signs every entry.
        rotate_bytes: a file that is larger is closed, and another one begins.
        keep_bytes: how much is kept of closed files; beyond that, the oldest are removed.
        syslog: gets a copy of each entry.
        expected: there should be entries, because the key existed before this start of the server.
        trouble: is called from the writing thread: with the reason when it cannot write, with "" when it can again.

    Raises:
        EnvironmentFault: the file cannot be opened, or another server writes it.
    """

    def __init__(
        self,
        file: Path,
        key: Ed25519PrivateKey,
        *,
        rotate_bytes: int,
        keep_bytes: int,
        syslog: Syslog | None = None,
        expected: bool = False,
        trouble: Callable[[str], object] = lambda reason: None,
    ) -> None:
        self._file = file
        self._key = key
        self._rotate_bytes = rotate_bytes
        self._keep_bytes = keep_bytes
        self._syslog = syslog
        self._trouble = trouble
        self._limit = LogLimit(5)
        self._waiting: deque[_Waiting] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._give_up_at = 0.0  # when the log is being closed: no attempt is made after that monotonic time
        self._lost = 0
        self._since: float | None = None  # monotonic time since when nothing could be written
        self._head = (0, chain.GENESIS)
        self._descriptor = -1
        self._size = 0
        self._owed: list[_Waiting] = []  # the log's own entries; they are written before all that waits
        self._before = b""  # the newline that a line which was cut short still lacks
        self._spoilt = False  # behind `_size` there may be a part of what could not be written
        self._closed: Path | None = None  # the present file has this name already, so another one must begin
        try:
            self._open(expected=expected)
        except OSError as error:
            raise EnvironmentFault(f"{file}: cannot be used as audit log: {error.strerror}") from error
        self._thread = supervise.thread(self._run, name="audit", forever=True)

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last entry that is on disk."""
        return self._head

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the log's key, as `ssh-keygen -l` prints it."""
        return chain.fingerprint(self._key.public_key())

    def put(self, event: Event) -> None:
        """Queue an event, if it is audited; returns at once. This is a sink of `Events`."""
        if event.kind in AUDITED:
            fields = event.as_dict()
            self._put(_Waiting(float(str(fields.pop("at"))), fields))

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, and end the thread. What cannot be written is tried again for `seconds`, and is then
        counted in the log. A second call closes nothing: the descriptor's number may be another file's by then."""
        with self._wake:
            self._closing = True
            self._give_up_at = time.monotonic() + seconds
            self._wake.notify()
        self._thread.join(seconds)
        unwritten = len(self._waiting) + self._lost
        if self._thread.is_alive() or unwritten:
            log.error("audit log: entries could not be written and are lost", file=str(self._file), lost=unwritten)
        if not self._thread.is_alive() and self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with contextlib.suppress(OSError):  # everything is synced, or was counted as lost
                os.close(descriptor)
        if self._syslog is not None:
            self._syslog.close()

    def _put(self, waiting: _Waiting) -> None:
        with self._wake:
            if len(self._waiting) >= QUEUE_MAX:
                self._lost += 1  # said by `_failed`, by the entry after the gap, or by `close`
            else:
                self._waiting.append(waiting)
            self._wake.notify()

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait_for_entries():
            try:
                self._write_batch()
            except Exception as error:  # whatever it is: it is announced, and does not end the thread
                self._failed(error)
                if not self._wait_to_retry():
                    return

    def _wait_to_retry(self) -> bool:
        """Wait until the next attempt is due. Returns whether there is one: not when the log is being closed and the
        time for that is over."""
        with self._wake:
            if not self._closing:
                self._wake.wait_for(lambda: self._closing, _RETRY_SECONDS)
                return True
        seconds = min(_RETRY_SECONDS, _RETRY_CLOSING_SECONDS)
        if time.monotonic() + seconds >= self._give_up_at:
            return False
        time.sleep(seconds)
        return True

    def _wait_for_entries(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._owed or self._lost or self._closing)
            return bool(self._waiting or self._owed or self._lost)

    def _write_batch(self) -> None:
        """Write the first entries that wait. They are taken from the queue only when they are on disk."""
        self._look_for_changes()
        self._append_owed()
        if self._since is not None or self._lost:
            self._tell_of_gap()
        batch = [self._waiting[i] for i in range(min(len(self._waiting), _BATCH_MAX))]
        if batch:
            self._append(batch)
        with self._wake:
            for _ in batch:
                self._waiting.popleft()
        if self._size >= self._rotate_bytes:
            self._try_to_rotate()

    def _append_owed(self) -> None:
        if self._owed:
            self._append(self._owed)
            self._owed.clear()

    def _append(self, batch: list[_Waiting]) -> None:
        """Append all of the batch or nothing: a part that a full disk took is cut off again, now or at the next
        attempt."""
        seq, head = self._head
        lines = []
        for waiting in batch:
            seq += 1
            line, head = chain.encode(seq, head, _iso(waiting.at), waiting.fields, self._key)
            lines.append(line)
        data = self._before + b"".join(lines)
        self._spoilt = True
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            os.fdatasync(self._descriptor)
        except OSError:
            self._take_back()
            raise
        self._spoilt = False
        self._size += len(data)
        self._head, self._before = (seq, head), b""
        if self._syslog is not None:
            self._copy(self._syslog, lines)

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
            self._spoilt = False

    def _copy(self, syslog: Syslog, lines: list[bytes]) -> None:
        unsent = syslog.unsent
        for line in lines:
            syslog.send(line.rstrip())
        if syslog.unsent > unsent and self._limit.allows():
            log.warning("audit entries could not be sent to syslog; the file has them", so_far=syslog.unsent)

    def _failed(self, error: Exception) -> None:
        reason = (error.strerror if isinstance(error, OSError) else None) or repr(error)
        if self._since is None:
            self._since = time.monotonic()
            self._say(reason)
        if self._limit.allows():
            log.error(
                "the audit log cannot be written: make room, or mend what is wrong with the disk",
                file=str(self._file), reason=reason, waiting=len(self._waiting), lost=self._lost,
            )  # fmt: skip

    def _tell_of_gap(self) -> None:
        """Append an entry that says for how long nothing could be written, and how many events are missing."""
        lost, seconds = self._lost, time.monotonic() - self._since if self._since is not None else 0.0
        self._append([self._own(chain.RESUMED, seconds=round(seconds, 3), lost=lost)])
        with self._wake:
            self._lost -= lost
        self._since = None
        log.warning("the audit log is written again", file=str(self._file), lost=lost)
        self._say("")

    def _say(self, trouble: str) -> None:
        """Call `trouble`. It may raise, which must not end the thread."""
        try:
            self._trouble(trouble)
        except Exception as error:
            supervise.tell("the listener for trouble of the audit log", error)

    def _own(self, kind: str, **detail: object) -> _Waiting:
        return _Waiting(time.time(), {"kind": kind, **detail})

    # -- files ----------------------------------------------------------------------------------------

    def _open(self, *, expected: bool) -> None:
        """Open the file, and go on behind the last entry that the key signed."""
        self._switch_to(open_to_append(self._file))
        found = resume.look(self._file, self._key.public_key(), expected=expected)
        if found.last:
            self._head = (found.last.seq, found.last.hash)
            self._look_at_clock(found.last)
        if found.before and not found.damage:
            self._owed.append(self._continued(found.before))
        self._tell_of_end(found)

    def _tell_of_end(self, found: resume.Resume) -> None:
        """Say what was found behind the last entry. A line that a crash cut short stays as it is; the next entry
        tells of it."""
        if found.torn:
            log.warning("audit log: its last line was cut short by a crash", file=str(self._file), **found.torn)
            self._owed.append(self._own(chain.TORN, **found.torn))
        if found.open_line:  # the line may be a whole entry that lacks its newline only
            self._before = b"\n"
        if found.damage:
            self._tell_of_damage(found.damage)

    def _switch_to(self, descriptor: int) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # what was written there is synced
                os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._spoilt = False

    def _look_at_clock(self, last: chain.Entry) -> None:
        """If the clock is behind the last entry, make an entry that says so: times are then not in order, numbers
        are."""
        seconds = _seconds_since(last)
        if seconds < -clock.SET_SECONDS:
            log.warning("the clock shows an earlier time than the audit log's last entry has", seconds=-seconds)
            self._owed.append(self._own(chain.BEHIND, seconds=-seconds, last=str(last.fields["time"])))

    def _tell_of_damage(self, found: str) -> None:
        log.error(
            "the audit log is damaged, or was changed by somebody else, and goes on behind that: keep a copy of it; "
            "'oobconsole audit verify' says where",
            file=str(self._file), found=found,
        )  # fmt: skip
        self._owed.append(self._own(chain.DAMAGED, found=found))

    def _look_for_changes(self) -> None:
        """Only this process may write the file. If somebody else changed it, record that.

        What is left of a failed attempt of our own is cut off.
        """
        if self._closed is None and (gone := self._moved()):
            self._go_on_elsewhere(gone)
            return
        if self._spoilt:
            os.ftruncate(self._descriptor, self._size)
            self._spoilt = False
        size = os.fstat(self._descriptor).st_size
        if size != self._size:
            found = f"{size} bytes where {self._size} were written"
            self._size = size
            self._tell_of_damage(found)

    def _moved(self) -> str:
        """What became of the file that is open, in words; empty: it is where it should be."""
        ours = os.fstat(self._descriptor)
        try:
            there = self._file.stat()
        except FileNotFoundError:
            return "the file was renamed" if ours.st_nlink else "the file was removed"
        return "" if os.path.samestat(ours, there) else "another file lies in the place of the one that was written"

    def _go_on_elsewhere(self, gone: str) -> None:
        """Go on in the file that has the log's name now. It may be the same file, of a file system that was mounted
        anew."""
        self._switch_to(open_to_append(self._file))
        self._before = b""
        if not self._size:
            self._tell_of_damage(gone)
            return
        found = resume.look(self._file, self._key.public_key(), expected=True)
        if found.damage or found.last is None or (found.last.seq, found.last.hash) != self._head:
            found.damage = f"{gone}; {found.damage or 'it ends with another entry than was written last'}"
        self._tell_of_end(found)

    def _try_to_rotate(self) -> None:
        """Begin another file. If that fails, the present file grows, because the entries are what counts."""
        try:
            self._rotate()
        except OSError as error:
            if self._limit.allows():
                log.error("the audit log cannot begin another file", file=str(self._file), reason=error.strerror)

    def _rotate(self) -> None:
        """Close the file and begin another one. As long as no other file can be made, the renamed one is written."""
        if self._closed is None:
            first = files.first_entry(self._file)
            closed = files.closed_name(self._file, first.seq if first else self._head[0])
            self._file.rename(closed)
            self._closed = closed
        self._switch_to(open_to_append(self._file))
        self._owed.append(self._continued(self._closed))
        self._closed = None
        self._append_owed()
        self._make_room()

    def _continued(self, before: Path) -> _Waiting:
        return self._own(chain.CONTINUED, previous=before.name, signed_by=self.fingerprint)

    def _make_room(self) -> None:
        closed = files.older(self._file)
        excess = sum(path.stat().st_size for path in closed) - self._keep_bytes
        for path in closed:
            if excess <= 0:
                return
            excess -= path.stat().st_size
            last = files.last_entry(path)
            detail = {"last_seq": last.seq, "last_hash": last.hash} if last else {}
            self._append([self._own(chain.REMOVED, file=path.name, **detail)])
            path.unlink()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds_since(entry: chain.Entry) -> float:
    """Return how many seconds ago the entry was made, by the clock as it is now; 0: the entry has no time."""
    try:
        return round(time.time() - datetime.fromisoformat(str(entry.fields["time"])).timestamp(), 1)
    except (KeyError, ValueError, OverflowError):
        return 0.0
