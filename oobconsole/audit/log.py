"""Writes the audit log: a bounded queue, and one thread that appends, syncs and rotates.

Whoever emits an event never waits. An entry is on disk (fdatasync) a few milliseconds later; entries that come
meanwhile share the next sync. While nothing can be written, entries wait; beyond QUEUE_MAX they are lost, and the log
says how many when it goes on. Both are announced at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
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
from oobconsole.audit import chain, files
from oobconsole.audit.syslog import Syslog
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Kind
from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

#: Entries that wait for the disk.
QUEUE_MAX: Final = 10_000
_BATCH_MAX: Final = 256  # entries for each sync
_RETRY_SECONDS: Final = 1.0
#: What people do, and what the server does to them; not what guests do, nor what metrics are made of.
AUDITED: Final = frozenset(Kind) - {Kind.MESSAGE, Kind.CONSOLE, Kind.LOST}

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Waiting:
    at: float
    fields: Fields


class AuditLog:
    """An open audit log.

    Args:
        file: appended to; its older files lie beside it.
        key: signs every entry.
        rotate_bytes: a file that is larger is closed.
        keep_bytes: of closed files; the oldest are removed.
        syslog: gets a copy of each entry.
        trouble: called from the writing thread when it cannot write, with the reason, and with "" when it can again.

    Raises:
        EnvironmentFault: the file cannot be had, or another server writes it.
    """

    def __init__(
        self,
        file: Path,
        key: Ed25519PrivateKey,
        *,
        rotate_bytes: int,
        keep_bytes: int,
        syslog: Syslog | None = None,
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
        self._lost = 0
        self._since: float | None = None  # monotonic time since when nothing could be written
        self._head = (0, chain.GENESIS)
        self._descriptor = -1
        self._size = 0
        self._owed: list[_Waiting] = []  # entries of the log's own: they come before all that waits
        self._before = b""  # what a line that was cut short still lacks
        self._spoilt = False  # behind `_size` may be a part of what could not be written
        self._closed: Path | None = None  # the file that we write has this name already: another one is due
        try:
            self._open()
        except OSError as error:
            raise EnvironmentFault(f"{file}: cannot be used as audit log: {error.strerror}") from error
        self._thread = supervise.thread(self._run, name="audit", forever=True)

    @property
    def head(self) -> tuple[int, str]:
        """Number and hash of the last entry that is on disk."""
        return self._head

    @property
    def fingerprint(self) -> str:
        """Of the key, as `ssh-keygen -l` prints it."""
        return chain.fingerprint(self._key.public_key())

    def put(self, event: Event) -> None:
        """An event happened: a sink of `Events`."""
        if event.kind in AUDITED:
            fields = event.as_dict()
            self._put(_Waiting(float(str(fields.pop("at"))), fields))

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, for at most so long, and end."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(seconds)
        unwritten = len(self._waiting) + self._lost
        if self._thread.is_alive() or unwritten:
            log.error("audit log: entries could not be written and are lost", file=str(self._file), lost=unwritten)
        if not self._thread.is_alive():
            with contextlib.suppress(OSError):  # everything is synced, or was counted as lost
                os.close(self._descriptor)
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
                if self._closing:
                    return
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, _RETRY_SECONDS)

    def _wait_for_entries(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._owed or self._lost or self._closing)
            return bool(self._waiting or self._owed or self._lost)

    def _write_batch(self) -> None:
        """Write the first of what waits; it is taken from the queue only then."""
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
        """All or nothing: what a full disk let in of it is taken out again, now or before the next attempt."""
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
        """The first entry after it says how long nothing could be written, and what is missing."""
        lost, seconds = self._lost, time.monotonic() - self._since if self._since is not None else 0.0
        self._append([self._own(chain.RESUMED, seconds=round(seconds, 3), lost=lost)])
        with self._wake:
            self._lost -= lost
        self._since = None
        log.warning("the audit log is written again", file=str(self._file), lost=lost)
        self._say("")

    def _say(self, trouble: str) -> None:
        """Whoever is told may fail: that is not to end the thread."""
        try:
            self._trouble(trouble)
        except Exception as error:
            supervise.tell("who is told of the audit log", error)

    def _own(self, kind: str, **detail: object) -> _Waiting:
        return _Waiting(time.time(), {"kind": kind, **detail})

    # -- files ----------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Continue what is there."""
        self._switch_to(self._descriptor_of_file())
        if self._size:
            self._continue()
            return
        before = files.older(self._file)
        if before:
            self._continue_older(before[-1])

    def _descriptor_of_file(self) -> int:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync_folder(self._file.parent)
        except BlockingIOError:
            os.close(descriptor)
            raise EnvironmentFault(
                f"{self._file}: another server has this state_dir and writes this audit log: "
                "stop it, or give this one a state_dir of its own"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _switch_to(self, descriptor: int) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # what was written there is synced
                os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._spoilt = False

    def _continue_older(self, before: Path) -> None:
        """The file is new, but the log is not: it ended after a rotation."""
        last = files.last_entry(before)
        if last is None:
            self._tell_of_damage(f"{before.name} does not end with an entry")
            return
        self._head = (last.seq, last.hash)
        self._look_at_clock(last)
        self._owed.append(self._continued(before))

    def _continue(self) -> None:
        """A last line that was cut short by a crash, or changed, stays as it is: the next entry tells of it."""
        with open(self._descriptor, "rb", closefd=False) as stream:
            whole, torn = files.tail(stream)
        key = self._key.public_key()
        last = files.last_intact([*whole, torn], key)
        if last:
            self._head = (last.seq, last.hash)
            self._look_at_clock(last)
        if torn and files.last_intact([torn], key) is None:
            log.warning("audit log: its last line was cut short by a crash", file=str(self._file), bytes=len(torn))
            found = {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            self._owed.append(self._own(chain.TORN, **found))
        if torn:  # an entry may lack its newline only
            self._before = b"\n"
        if whole and files.last_intact([whole[-1]], key) is None:
            self._tell_of_damage("the last line is no entry that this key signed")

    def _look_at_clock(self, last: chain.Entry) -> None:
        """Entries are in the order of their numbers; that their times are not is said at the place."""
        seconds = _seconds_since(last)
        if seconds < -clock.SET_SECONDS:
            log.warning("the clock shows an earlier time than the audit log's last entry has", seconds=-seconds)
            self._owed.append(self._own(chain.BEHIND, seconds=-seconds, last=str(last.fields["time"])))

    def _tell_of_damage(self, found: str) -> None:
        log.error("audit log: somebody else has changed it: see `oobconsole audit verify`",
                  file=str(self._file), found=found)  # fmt: skip
        self._owed.append(self._own(chain.DAMAGED, found=found))

    def _look_for_changes(self) -> None:
        """Nobody else writes here; who does is told on. What is left of our own failed attempt goes."""
        if self._spoilt:
            os.ftruncate(self._descriptor, self._size)
            self._spoilt = False
        now = os.fstat(self._descriptor)
        if now.st_nlink and now.st_size == self._size:
            return
        if now.st_nlink:
            found = f"{now.st_size} bytes where {self._size} were written"
            self._size = now.st_size
        else:
            found = "the file was removed"
            self._switch_to(self._descriptor_of_file())
        self._tell_of_damage(found)

    def _try_to_rotate(self) -> None:
        """What cannot be rotated grows: the entries are what counts."""
        try:
            self._rotate()
        except OSError as error:
            if self._limit.allows():
                log.error("the audit log cannot begin another file", file=str(self._file), reason=error.strerror)

    def _rotate(self) -> None:
        """As long as there can be no other file, the one that has its last name already is gone on with."""
        if self._closed is None:
            first = files.first_entry(self._file)
            closed = files.closed_name(self._file, first.seq if first else self._head[0])
            self._file.rename(closed)
            self._closed = closed
        self._switch_to(self._descriptor_of_file())
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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds_since(entry: chain.Entry) -> float:
    """By the clock as it is; 0 for an entry without a time."""
    try:
        return round(time.time() - datetime.fromisoformat(str(entry.fields["time"])).timestamp(), 1)
    except (KeyError, ValueError, OverflowError):
        return 0.0
