"""Every console's recording: one thread that writes, one that compresses, some that read.

The event loop gathers what happens, and hands all of it to the writer as soon as that has written what it had before,
at least `GATHER_SECONDS` later: what was printed is in the kernel's hands some tens of milliseconds later.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import structlog

from oobconsole.console import retention
from oobconsole.console.console import Console
from oobconsole.console.rawlog import Entry, Outcome, RawLog
from oobconsole.console.recorder import Recorder
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Events, Kind
from oobconsole.log import LogLimit
from oobconsole.settings import RecordingConfig

log = structlog.get_logger(__name__)

T = TypeVar("T")

GATHER_SECONDS: Final = 0.02
#: Output of all consoles that may wait for the disk, in bytes.
WAITING_MAX: Final = 64 << 20
#: How long the end of the server, or a reader, waits for the disk, in seconds.
PATIENCE: Final = 5.0
TIDY_SECONDS: Final = 3600.0
LOG_LINES: Final = 20
#: What a console's folder may be called: nothing that leads elsewhere.
_FOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
READERS: Final = 4
#: What others do at a console that its recording says.
_NOTED: Final = {Kind.ATTACHED, Kind.DETACHED, Kind.KEYBOARD, Kind.BREAK, Kind.SYSRQ, Kind.POWER}


class Recordings:
    """Records consoles.

    Args:
        folder: made when missing; each console has a folder in it.
        events: is told when recording stops and goes on.
    """

    def __init__(self, settings: RecordingConfig, folder: Path, events: Events) -> None:
        self.folder = folder
        self._settings = settings
        self._events = events
        self._recorders: dict[str, Recorder] = {}
        self._due: set[Recorder] = set()
        self._failed: set[Recorder] = set()
        self._typing: set[Recorder] = set()
        self._leaving: dict[str, Recorder] = {}  # forgotten, but not yet written to the end
        self._waiting = 0
        self._writing: asyncio.Future[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._writer = ThreadPoolExecutor(1, "recording-writer")
        self._janitor = ThreadPoolExecutor(1, "recording-janitor", initializer=_behind_others)
        self._readers = ThreadPoolExecutor(READERS, "recording-reader")
        self._limit = LogLimit(LOG_LINES)
        self._stopping = threading.Event()
        self._began_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._run_began: dict[str, int] = {}  # offset of what this server recorded first, by a console's name
        self._adopting: set[str] = set()
        self._gone = threading.Lock()  # a folder is tidied as one of a console that is gone

    # -- life ---------------------------------------------------------------------------------------

    async def start(self, consoles: Sequence[Console]) -> None:
        """Go on where the recordings end, before anything is printed. Raises `EnvironmentFault`."""
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(self._writer, self._make_folder)
        for console in consoles:
            await self._add(console)
        self._events.add_sink(self._event)
        self._tidy_all()

    async def _add(self, console: Console) -> None:
        size = console.settings.rows, console.settings.columns
        raw = RawLog(self.folder / console.name, self._settings, *size)
        recorder = Recorder(console, raw, self, keystrokes=self._settings.keystrokes)
        self._adopting.add(console.name)
        try:
            history = await self._loop.run_in_executor(self._writer, self._recover, recorder)
            self._recorders[console.name] = recorder
            self._run_began.setdefault(console.name, raw.end)
        finally:
            self._adopting.discard(console.name)
        console.resume(raw.end, history)
        console.observe(recorder)
        recorder.began()

    async def adopt(self, console: Console) -> None:
        """Go on with the recording of a console that comes while the server runs, before anything is printed."""
        await self._written(self._leaving.pop(console.name, None))
        try:
            await self._add(console)
        except EnvironmentFault as error:
            if self._settings.policy == "strict":
                console.hold_input(f"it cannot be recorded, so what is typed is lost: {error}")
            self._events.emit(Kind.RECORDING, console.name, state="stopped", reason=str(error))
            log.error("a console is not recorded", console=console.name, reason=str(error))

    def forget(self, console: Console) -> None:
        """Record it no more; what it has printed so far is still written."""
        recorder = self._recorders.pop(console.name, None)
        self._leaving = {name: left for name, left in self._leaving.items() if left in self._due}
        if recorder is not None:
            recorder.finish()
            self._failed.discard(recorder)
            self._leaving[console.name] = recorder

    async def _written(self, recorder: Recorder | None) -> None:
        """Wait until the writer's thread has in its queue what this one had."""
        while recorder is not None and recorder in self._due:
            if self._writing is None:
                self._hand_over()
            else:
                await asyncio.wait([self._writing])
                await asyncio.sleep(0)

    async def stop(self) -> None:
        """Write what there is, if the disk lets us in time."""
        for recorder in self._recorders.values():
            recorder.finish()
        try:
            await self.flush()
        except TimeoutError:
            log.error("the end of the recordings could not be written in time", seconds=PATIENCE)
        self._events.remove_sink(self._event)
        self._stopping.set()
        for timer in self._timers.values():
            timer.cancel()
        for executor in (self._writer, self._janitor, self._readers):
            executor.shutdown(wait=False, cancel_futures=True)

    async def flush(self) -> None:
        """Wait until everything printed so far is written, or cannot be. Raises `TimeoutError` after `PATIENCE`."""
        async with asyncio.timeout(PATIENCE):
            while self._due or self._writing is not None:
                if self._writing is None:
                    self._hand_over()
                if self._writing is not None:
                    await asyncio.wait([self._writing])
                    await asyncio.sleep(0)

    def recorder(self, name: str) -> Recorder | None:
        """That of a console."""
        return self._recorders.get(name)

    def has(self, name: str) -> bool:
        """Is there a recording of a console of that name, alive or gone?"""
        return _FOLDER.fullmatch(name) is not None and (self.folder / name).is_dir()

    async def read(self, call: Callable[[], T]) -> T:
        """Do something that reads files, in a thread."""
        return await self._loop.run_in_executor(self._readers, call)

    # -- Hub ----------------------------------------------------------------------------------------

    def due(self, recorder: Recorder) -> None:
        self._due.add(recorder)
        if self._writing is None and "write" not in self._timers:
            self._timers["write"] = self._loop.call_later(GATHER_SECONDS, self._hand_over)

    def room(self, size: int) -> bool:
        if self._waiting + size > WAITING_MAX:
            return False
        self._waiting += size
        return True

    def typing(self, recorder: Recorder) -> None:
        self._typing.add(recorder)
        if "typing" not in self._timers:
            self._timers["typing"] = self._loop.call_later(1.0, self._expire)

    def stopped(self, recorder: Recorder, reason: str) -> None:
        name = recorder.console.name
        self._failed.add(recorder)
        if self._settings.policy == "strict":
            recorder.console.hold_input(f"recording has stopped, so what is typed is lost: {reason}")
        else:
            recorder.console.announce(f"recording has stopped: {reason}; the guest goes on")
        self._events.emit(Kind.RECORDING, name, state="stopped", reason=reason)
        if self._limit.allows():
            log.error("recording has stopped", console=name, reason=reason, folder=str(recorder.log.folder))

    def resumed(self, recorder: Recorder, hole: int) -> None:
        name = recorder.console.name
        self._failed.discard(recorder)
        recorder.console.announce(f"recording goes on; {hole} bytes of output are missing in it")
        recorder.console.hold_input("")
        self._events.emit(Kind.RECORDING, name, state="resumed", missing=hole)
        if self._limit.allows():
            log.warning("recording goes on", console=name, missing=hole)

    # -- writing ------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        if timer := self._timers.pop("write", None):
            timer.cancel()
        size = sum(recorder.waiting for recorder in self._due)
        batch = [(recorder, recorder.take()) for recorder in self._due]
        self._due.clear()
        if batch:
            self._writing = asyncio.ensure_future(self._write(batch, size))

    async def _write(self, batch: list[tuple[Recorder, list[Entry]]], size: int) -> None:
        def work() -> list[Outcome]:
            return [_write_one(recorder.log, entries) for recorder, entries in batch]

        outcomes = await self._loop.run_in_executor(self._writer, work)
        self._waiting -= size
        self._writing = None
        retry = [outcome.retry_s for outcome in outcomes if outcome.error]
        for (recorder, _), outcome in zip(batch, outcomes, strict=True):
            recorder.written(outcome)
            if outcome.rotated:
                self._tidy(recorder)
        if self._due:
            self.due(next(iter(self._due)))
        if retry and "retry" not in self._timers:
            self._timers["retry"] = self._loop.call_later(min(retry), self._retry)

    def _retry(self) -> None:
        """Somebody may wait for it, though nothing is printed."""
        del self._timers["retry"]
        for recorder in self._failed:
            recorder.note("recording")

    def _expire(self) -> None:
        del self._timers["typing"]
        still = {recorder for recorder in self._typing if recorder.expire()}
        self._typing = set()
        for recorder in still:
            self.typing(recorder)

    def _event(self, event: Event) -> None:
        recorder = self._recorders.get(event.console)
        if recorder is not None and event.kind in _NOTED:
            recorder.note(str(event.kind), event.who.name if event.who else "")

    # -- in threads ---------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        """A full disk is no reason not to start."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise EnvironmentFault(f"{self.folder}: cannot be used for recordings: {error.strerror}") from error

    def _recover(self, recorder: Recorder) -> bytes:
        try:
            with self._gone:
                recorder.log.recover()
            return recorder.log.history(recorder.console.scrollback)
        except OSError as error:
            file = error.filename or recorder.log.folder
            raise EnvironmentFault(f"{file}: a recording that cannot be gone on with: {error.strerror}") from error

    def _tidy_all(self) -> None:
        for recorder in self._recorders.values():
            self._tidy(recorder)
        leaving = {name for name, left in self._leaving.items() if left in self._due or self._writing is not None}
        self._janitor.submit(self._tidy_gone, {*self._recorders, *leaving})
        self._timers["tidy"] = self._loop.call_later(TIDY_SECONDS, self._tidy_all)

    def _tidy(self, recorder: Recorder) -> None:
        self._janitor.submit(self._tidy_one, recorder.log.folder)

    def _tidy_one(self, folder: Path) -> None:
        try:
            if folder.exists() and not self._stopping.is_set():
                retention.tidy(folder, self._settings, self._stopping.is_set, run=self._run(folder.name))
        except OSError as error:
            if self._limit.allows():
                log.error("old recordings cannot be compressed or removed", folder=str(folder), reason=error.strerror)

    def _run(self, name: str) -> retention.Run | None:
        began = self._run_began.get(name)
        return (
            None if began is None else retention.Run(began, time.clock_gettime(time.CLOCK_BOOTTIME) - self._began_at)
        )

    def _tidy_gone(self, live: set[str]) -> None:
        """The recordings of consoles that are no more have the same limits."""
        try:
            folders = [path for path in self.folder.iterdir() if path.name not in live and self.has(path.name)]
            for folder in folders:
                self._tidy_one_gone(folder)
        except OSError as error:
            if self._limit.allows():
                log.error("recordings of consoles that are gone cannot be tidied", folder=str(self.folder),
                          reason=error.strerror)  # fmt: skip

    def _tidy_one_gone(self, folder: Path) -> None:
        def back() -> bool:
            return self._stopping.is_set() or folder.name in self._adopting or folder.name in self._recorders

        with self._gone:
            if not back():
                with contextlib.suppress(InterruptedError):  # it has come back: the rest is its recorder's
                    retention.tidy(folder, self._settings, back, run=self._run(folder.name), gone=True)


def _write_one(raw: RawLog, entries: list[Entry]) -> Outcome:
    try:
        return raw.write(entries)
    except Exception:
        log.exception("a bug in oobconsole stops a recording", folder=str(raw.folder))
        return raw.give_up("internal error")


def _behind_others() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
