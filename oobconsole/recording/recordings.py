"""The recordings of all consoles: who records each of them, and who is told when that cannot be done.

One thread writes (writing.py), one thread compresses and removes (janitor.py), and some threads read.
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import structlog

from oobconsole import supervise
from oobconsole.config.schema import RecordingConfig
from oobconsole.console.console import Console
from oobconsole.console.states import ENDED
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Events, Kind
from oobconsole.log.log import LogLimit
from oobconsole.recording.janitor import Janitor
from oobconsole.recording.late import Late, Latecomers
from oobconsole.recording.past import Past, past
from oobconsole.recording.rawlog import Outcome, RawLog
from oobconsole.recording.recorder import Recorder
from oobconsole.recording.segments import segments
from oobconsole.recording.trouble import Trouble
from oobconsole.recording.writing import Writer

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: For how many seconds the end of the server, or a reader, waits for the disk. And after how many seconds the end of
#: the server tries again what could not be written.
PATIENCE: Final = 5.0
AGAIN_SECONDS: Final = 0.25
TIDY_SECONDS: Final = 3600.0
LOG_LINES: Final = 20
#: What the folder of a console may be called: no name that leads to another place.
_FOLDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
READERS: Final = 4
#: The events at a console that are noted in its recording.
_NOTED: Final = {Kind.ATTACHED, Kind.DETACHED, Kind.KEYBOARD, Kind.BREAK, Kind.SYSRQ, Kind.POWER}


def is_console_name(name: str) -> bool:
    """Return whether this can be the name of a console, and so of the folder of its recording."""
    return _FOLDER.fullmatch(name) is not None


class Recordings:
    """Records all consoles.

    Args:
        settings: the configuration's [recording].
        folder: the folder of all recordings, in which each console has a folder of its own. It is made if it is
            missing.
        events: told when recording stops and goes on.

    Attributes:
        trouble: which consoles are not recorded as they should be.
    """

    def __init__(self, settings: RecordingConfig, folder: Path, events: Events) -> None:
        self.folder = folder
        self.trouble = Trouble()
        self._settings = settings
        self._events = events
        self._recorders: dict[str, Recorder] = {}
        self._adopting: set[str] = set()
        self._late = Latecomers(self._begin, self.forget, self._still_not, self._late_is_lost)
        self._late_listeners: list[Callable[[Console], object]] = []
        self._typing: set[Recorder] = set()
        self._tidying: asyncio.TimerHandle | None = None  # the next time at which old segments are removed
        self._expiring: asyncio.TimerHandle | None = None  # the next time at which typed lines may be complete
        self._writer = Writer(self._written, self._end_is_lost)
        self._janitor = Janitor(settings, self.has, self._is_live)
        self._readers = ThreadPoolExecutor(READERS, "recording-reader")
        self._limit = LogLimit(LOG_LINES)

    # -- life ---------------------------------------------------------------------------------------

    async def start(self, consoles: Sequence[Console]) -> None:
        """Go on where the recordings end, before anything is printed. If the recording of a console cannot be gone on
        with, that console is not recorded for now.

        Raises:
            EnvironmentFault: the folder cannot be used at all.
        """
        self._loop = asyncio.get_running_loop()
        await self._writer.run(self._make_folder)
        for console in consoles:
            await self._add(console)
        self._events.add_sink(self._event)
        self._tidy_all()

    async def adopt(self, console: Console) -> None:
        """Go on with the recording of a console that comes while the server runs, before anything is printed."""
        gone = await self._late.left(console.name)
        if gone is not None and not await self._begin_before(console, gone):
            return
        former = await self._writer.left(console.name)
        if former is not None:
            self._succeed(console, former)
        else:
            await self._add(console)

    async def _add(self, console: Console) -> None:
        try:
            await self._begin(console)
        except EnvironmentFault as error:
            self._is_late(console, str(error))

    async def _begin_before(self, console: Console, late: Late) -> bool:
        """A console has come back whose recording could not even be begun before it went. Try that now, for what it
        had printed. Returns whether it was possible; if not, the console takes over that output, and is late, too."""
        gone = late.console
        try:
            await self._begin(gone, late.reason)
        except EnvironmentFault as error:
            self._go_on_behind(gone, console)
            self._is_late(console, str(error))
            return False
        self.forget(gone)
        return True

    def _go_on_behind(self, gone: Console, console: Console) -> None:
        """Have a console go on with the output and the offsets of the console of its name that is gone."""
        kept = gone.read_from(gone.start, console.scrollback)
        console.resume(gone.end, kept.data, begun=gone.begun, silences=gone.silences, ended=gone.state in ENDED)

    def _is_late(self, console: Console, reason: str) -> None:
        self._still_not(console, reason)
        self._late.add(console, reason)

    def _still_not(self, console: Console, reason: str) -> None:
        if self._settings.policy == "strict":
            console.hold_input(f"it cannot be recorded, so what is typed is lost: {reason}")
        self.trouble.stopped(console.name, reason)
        self._events.emit(Kind.RECORDING, console.name, state="stopped", reason=reason)
        if self._limit.allows():
            log.error("a console cannot be recorded, which is tried again", console=console.name, reason=reason)

    async def _begin(self, console: Console, late: str = "") -> None:
        """Begin the recording of a console.

        Args:
            console: the console.
            late: why the console could not be recorded so far; empty: it is new.

        Raises:
            EnvironmentFault: the recording cannot be gone on with.
        """
        size = console.settings.rows, console.settings.columns
        raw = RawLog(self.folder / console.name, self._settings, *size)
        recorder = Recorder(console, raw, self, keystrokes=self._settings.keystrokes)
        self._adopting.add(console.name)
        try:
            history, before = await self._writer.run(lambda: self._recover(recorder))
            self._recorders[console.name] = recorder
        finally:
            self._adopting.discard(console.name)
        self._janitor.begins(console.name, raw.end)
        if late:
            console.resume_late(raw.end)
            recorder.began_late(late)
            if console.state in ENDED:
                recorder.state_changed(console.state, console.reason)
        else:
            console.resume(raw.end, history, begun=before.begun, silences=before.silences, ended=before.ended)
            recorder.began()
        console.observe(recorder)
        if late:
            for call in self._late_listeners:
                call(console)

    def _succeed(self, console: Console, former: Recorder) -> None:
        """Begin the recording of a console that has come back before the end of its recording could be written."""
        recorder = Recorder(console, former.log, self, keystrokes=self._settings.keystrokes)
        self._go_on_behind(former.console, console)
        recorder.succeed(former)
        self._recorders[console.name] = recorder
        console.observe(recorder)
        if recorder.reason:
            self.stopped(recorder, recorder.reason)

    def on_late(self, call: Callable[[Console], object]) -> None:
        """Have `call` called with each console that could not be recorded at first, when its recording begins. The
        offsets of its output are others from then on."""
        self._late_listeners.append(call)

    def forget(self, console: Console) -> None:
        """Stop recording a console. Its output so far is still written, as soon as the disk takes it."""
        self._late.leave(console)
        self.trouble.forget(console.name)
        recorder = self._recorders.pop(console.name, None)
        if recorder is not None:
            recorder.finish()
            self._writer.leave(recorder)

    async def stop(self) -> None:
        """Stop recording, after everything that waits is written, if the disk takes it in time. What the disk refuses
        is tried again until then."""
        late = await self._late.stop()
        for recorder in self._recorders.values():
            recorder.finish()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._write_rest(late)
        except TimeoutError:
            log.error("the end of the recordings could not be written in time", seconds=PATIENCE)
        lost = [(each.console, each.reason, each.console.end) for each in late]
        lost += [(each.console, each.reason, each.waiting) for each in self._troubled() if each.waiting]
        for console, reason, size in lost:
            log.error("the end of a recording is lost, as the server stops", console=console.name, reason=reason,
                      bytes=size)  # fmt: skip
        self._events.remove_sink(self._event)
        for timer in (self._tidying, self._expiring):
            if timer is not None:
                timer.cancel()
        self._writer.stop()
        self._janitor.stop()
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def _write_rest(self, late: list[Late]) -> None:
        """Try to write everything that waits, until all of it is written. The recordings of late consoles are begun,
        too; those consoles are then removed from the list."""
        while True:
            for each in tuple(late):
                try:
                    await self._begin(each.console, each.reason)
                    late.remove(each)
                except EnvironmentFault as error:
                    each.reason = str(error)
            await self._writer.flush(again=True)
            if not late and not any(recorder.has_entries for recorder in self._troubled()):
                return
            await asyncio.sleep(AGAIN_SECONDS)

    def _troubled(self) -> list[Recorder]:
        """Return the recorders whose entries could not be written."""
        return [recorder for recorder in (*self._recorders.values(), *self._writer.leaving) if recorder.reason]

    async def flush(self) -> None:
        """Wait until everything printed so far is written, or cannot be. Raises `TimeoutError` after `PATIENCE`."""
        async with asyncio.timeout(PATIENCE):
            await self._writer.flush()

    def recorder(self, name: str) -> Recorder | None:
        """Return the recorder of the console with that name; None: it is not recorded now."""
        return self._recorders.get(name)

    def has(self, name: str) -> bool:
        """Return whether there is a recording of a console of that name, whether or not the console still exists."""
        return is_console_name(name) and (self.folder / name).is_dir()

    async def read(self, call: Callable[[], T]) -> T:
        """Call a function that reads files in a thread, and return its result."""
        return await self._loop.run_in_executor(self._readers, call)

    def _is_live(self, name: str) -> bool:
        return name in self._adopting or name in self._recorders or name in self._late

    # -- Hub ----------------------------------------------------------------------------------------

    def due(self, recorder: Recorder) -> None:
        self._writer.due(recorder)

    def room(self, size: int) -> bool:
        return self._writer.room(size)

    def typing(self, recorder: Recorder) -> None:
        self._typing.add(recorder)
        if self._expiring is None:
            self._expiring = self._loop.call_later(1.0, self._expire)

    def stopped(self, recorder: Recorder, reason: str) -> None:
        name = recorder.console.name
        if self._settings.policy == "strict":
            recorder.console.hold_input(f"recording has stopped, so what is typed is lost: {reason}")
        else:
            recorder.console.announce(f"recording has stopped: {reason}; the guest goes on")
        if self._is_present(recorder):
            self.trouble.stopped(name, reason)
        self._events.emit(Kind.RECORDING, name, state="stopped", reason=reason)
        if self._limit.allows():
            log.error("recording has stopped", console=name, reason=reason, folder=str(recorder.log.folder))

    def resumed(self, recorder: Recorder, hole: int) -> None:
        name = recorder.console.name
        missing = f"{hole} bytes of output are missing in it" if hole else "nothing is missing in it"
        recorder.console.announce(f"recording goes on; {missing}")
        recorder.console.hold_input("")
        self.trouble.over(name)
        self._events.emit(Kind.RECORDING, name, state="resumed", missing=hole)
        if self._limit.allows():
            log.warning("recording goes on", console=name, missing=hole)

    def damaged(self, recorder: Recorder, what: str, gone: int) -> None:
        name = recorder.console.name
        if self._is_present(recorder):
            self.trouble.damage(name, what)
        self._events.emit(Kind.RECORDING, name, state="damaged", reason=what, missing=gone)
        if self._limit.allows():
            log.error("somebody else has changed a recording; it goes on in another segment", console=name,
                      found=what, missing=gone, folder=str(recorder.log.folder))  # fmt: skip

    def _is_present(self, recorder: Recorder) -> bool:
        """Return whether the recorder's console still exists: nobody would take back what is said of one that does
        not."""
        return self._recorders.get(recorder.console.name) is recorder

    # -- on the event loop --------------------------------------------------------------------------

    def _written(self, recorder: Recorder, outcome: Outcome) -> None:
        recorder.written(outcome)
        if outcome.rotated:
            self._janitor.tidy(recorder.log.folder)

    def _end_is_lost(self, recorder: Recorder, reason: str) -> None:
        self._is_lost(recorder.console.name, reason, recorder.missing)

    def _late_is_lost(self, console: Console, reason: str) -> None:
        self._is_lost(console.name, reason, console.end)

    def _is_lost(self, name: str, reason: str, missing: int) -> None:
        self.trouble.over(name)
        self._events.emit(Kind.RECORDING, name, state="lost", reason=reason, missing=missing)
        if self._limit.allows():
            log.error("the end of a recording is lost, as its console is gone", console=name, reason=reason,
                      missing=missing)  # fmt: skip

    def _expire(self) -> None:
        self._expiring = None
        still = {recorder for recorder in self._typing if recorder.expire()}
        self._typing = set()
        for recorder in still:
            self.typing(recorder)

    def _event(self, event: Event) -> None:
        recorder = self._recorders.get(event.console)
        if recorder is not None and event.kind in _NOTED:
            recorder.note(str(event.kind), event.who.name if event.who else "")

    def _tidy_all(self) -> None:
        for recorder in self._recorders.values():
            self._janitor.tidy(recorder.log.folder)
        leaving = [left.console for left in self._writer.leaving] + [left.console for left in self._late.leaving]
        self._janitor.tidy_gone(self.folder, {console.name for console in leaving})
        self._tidying = self._loop.call_later(TIDY_SECONDS, self._tidy_all)

    # -- in threads ---------------------------------------------------------------------------------

    def _make_folder(self) -> None:
        """Make the folder of all recordings. An error is only logged: a full disk is no reason not to start."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise EnvironmentFault(f"{self.folder}: cannot be used for recordings: {error.strerror}") from error

    def _recover(self, recorder: Recorder) -> tuple[bytes, Past]:
        """Read what the recording of a console says so far, and mend it.

        Raises:
            EnvironmentFault: whatever is wrong with the files.
        """
        try:
            with self._janitor.gone:
                recorder.log.recover()
            history = recorder.log.history(recorder.console.scrollback)
            return history, past(segments(recorder.log.folder), recorder.log.end - len(history))
        except OSError as error:
            file = error.filename or recorder.log.folder
            raise EnvironmentFault(f"{file}: a recording that cannot be gone on with: {error.strerror}") from error
        except Exception as error:
            supervise.tell(f"reading the recording in {recorder.log.folder}", error)
            raise EnvironmentFault(
                f"{recorder.log.folder}: a recording that cannot be gone on with: move it away"
            ) from error
