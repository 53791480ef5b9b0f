"""Hands what recorders have gathered to one thread that writes it, and tries again what could not be written.

When is it written? The event loop gathers what happens. It hands all of it to the thread when the thread has written
what it had before, but at least `GATHER_SECONDS` after something has happened. So output is in the kernel's hands
some tens of milliseconds after it was printed.

What if it cannot be written? Then it waits in its recorder until the next attempt. A recorder has the same bounds for
that as for a slow disk.

What if its console goes meanwhile? The last words of a guest that has crashed are what a recording is for, so they
wait on, but not for ever: `LEAVING_SECONDS`, for `LEAVING_MAX` such consoles. If the console comes back before that,
its next recorder takes over what still waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import structlog

from oobconsole import supervise
from oobconsole.recording.callthread import CallThread, Result
from oobconsole.recording.entries import Entry
from oobconsole.recording.rawlog import RETRY_FIRST, Outcome, RawLog
from oobconsole.recording.recorder import Recorder

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: For how many seconds output gathers before the thread gets it; and how many seconds are between two batches.
GATHER_SECONDS: Final = 0.02
BETWEEN_SECONDS: Final = 0.05
#: How many bytes of output are enough to be written at once. Waiting for more would hold up a guest that floods.
ENOUGH: Final = 256 << 10
#: How many bytes of output may wait for the disk, of all consoles together.
WAITING_MAX: Final = 64 << 20
#: For how many seconds the server tries to write what a console that is gone has left. And for how many such consoles
#: at the same time: each of them keeps its scrollback in memory until then.
LEAVING_SECONDS: Final = 300.0
LEAVING_MAX: Final = 256
INTERNAL: Final = "internal error"

Batch = list[tuple[Recorder, list[Entry]]]


class Writer:
    """Writes for all recorders.

    Args:
        done: told, on the event loop, what became of what a recorder had.
        lost: told, on the event loop, that what a recorder still has is lost, and why: its console is gone, and the
            time for further attempts is over.
    """

    def __init__(self, done: Callable[[Recorder, Outcome], object], lost: Callable[[Recorder, str], object]) -> None:
        self._done = done
        self._lost = lost
        self._due: set[Recorder] = set()
        self._paused: dict[Recorder, asyncio.TimerHandle] = {}  # could not be written, and wait to be tried again
        #: The recorders whose consoles are gone, and until when their ends are tried, by the loop's time.
        self._leaving: dict[Recorder, float] = {}
        self._taken: set[Recorder] = set()  # of whose entries the thread is writing some now
        self._waiting = 0  # how many bytes of output wait, of all consoles
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0  # until when a little output waits, by the loop's time
        self._hurries = False  # whether the timer is for at once, because there is enough to write
        self._thread = CallThread("recording-writer")

    async def run(self, call: Callable[[], T]) -> T:
        """Call `call` in the thread that writes, and return its result."""
        return await self._thread.run(call)

    def due(self, recorder: Recorder) -> None:
        """A recorder has something to write. If it waits for another attempt, it goes on waiting."""
        if recorder not in self._paused:
            self._due.add(recorder)
            self._soon()

    def room(self, size: int) -> bool:
        """Return whether so many more bytes of all consoles together may wait. If so, they count as waiting."""
        if self._waiting + size > WAITING_MAX:
            return False
        self._waiting += size
        if self._timer is not None and not self._hurries and self._waiting >= ENOUGH:
            self._timer.cancel()
            self._timer = None
            self._soon()
        return True

    def leave(self, recorder: Recorder) -> None:
        """A recorder's console is gone: write what the recorder has, now or as soon as the disk takes it."""
        if self._has(recorder):
            self._leaving[recorder] = asyncio.get_running_loop().time() + LEAVING_SECONDS
            self._try_now(recorder)

    @property
    def leaving(self) -> list[Recorder]:
        """The recorders whose consoles are gone, but whose recordings are not written to the end yet."""
        return [recorder for recorder in self._leaving if self._has(recorder)]

    async def left(self, name: str) -> Recorder | None:
        """Try now to write everything that a console of that name has left, as a console of that name has come back.

        Returns the recorder that still has what could not be written; None: there is nothing more to write. That
        recorder gets no further attempts of its own.
        """
        found = next((recorder for recorder in self._leaving if recorder.console.name == name), None)
        if found is None:
            return None
        self._try_now(found)
        while found in self._due or found in self._taken:
            await self._one_batch()
        self._leaving.pop(found, None)
        self._pause_ends(found)
        return found if found.has_entries else None

    async def flush(self, *, again: bool = False) -> None:
        """Wait until everything gathered so far is written, or cannot be.

        Args:
            again: whether what could not be written is tried again now, before it is time.
        """
        for recorder in tuple(self._paused) if again else ():
            self._try_now(recorder)
        while self._due or self._writing is not None:
            await self._one_batch()

    def stop(self) -> None:
        """Stop: nothing is written any more but what the thread has already."""
        for timer in (*self._paused.values(), *([self._timer] if self._timer else [])):
            timer.cancel()
        self._thread.stop()

    # -- one batch ----------------------------------------------------------------------------------

    def _has(self, recorder: Recorder) -> bool:
        return recorder.has_entries or recorder in self._taken

    def _soon(self) -> None:
        if self._writing is None and self._timer is None:
            self._hurries = self._waiting >= ENOUGH
            loop = asyncio.get_running_loop()
            seconds = 0 if self._hurries else max(GATHER_SECONDS, self._not_before - loop.time())
            self._timer = loop.call_later(seconds, self._hand_over)

    async def _one_batch(self) -> None:
        if self._writing is None:
            self._hand_over()
        if self._writing is not None:
            await asyncio.wait([self._writing])
            await asyncio.sleep(0)

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        size = sum(recorder.waiting for recorder in self._due)
        batch = [(recorder, recorder.take()) for recorder in self._due]
        self._due.clear()
        if batch:
            self._not_before = asyncio.get_running_loop().time() + BETWEEN_SECONDS
            self._write(batch, size)

    def _write(self, batch: Batch, size: int) -> None:
        """Have the thread write a batch. An error costs what was to be written, and no later batch."""
        self._writing = asyncio.get_running_loop().create_future()
        self._taken = {recorder for recorder, _ in batch}
        done = partial(self._written, batch, size)
        try:
            self._thread.call(partial(_write_all, batch), done)
        except Exception as error:  # there is no thread, or no memory
            done(Result(None, error))

    def _written(self, batch: Batch, size: int, result: Result[list[Outcome]]) -> None:
        outcomes = result.value
        if outcomes is None:
            supervise.tell("the thread that writes recordings", result.error)
            outcomes = [Outcome(INTERNAL, retry_s=RETRY_FIRST)] * len(batch)
        writing, self._writing = self._writing, None
        self._waiting -= size
        self._taken = set()
        for (recorder, _), outcome in zip(batch, outcomes, strict=True):
            try:
                self._settle(recorder, outcome)
            except Exception as error:
                supervise.tell(f"the recording of {recorder.console.name}", error)
        if self._due:
            self._soon()
        if writing is not None:
            writing.set_result(None)

    def _settle(self, recorder: Recorder, outcome: Outcome) -> None:
        before = recorder.waiting
        recorder.give_back(outcome.rest)
        self._waiting += recorder.waiting - before
        if outcome.error:
            self._due.discard(recorder)
            self._pause(recorder, outcome.retry_s)
        self._done(recorder, outcome)
        if outcome.error:
            self._bound_leaving(recorder, outcome.error)
        elif not recorder.has_entries:
            self._leaving.pop(recorder, None)

    def _pause(self, recorder: Recorder, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = self._leaving.get(recorder)
        if until is not None:
            seconds = min(seconds, max(0.0, until - loop.time()))
        self._paused[recorder] = loop.call_later(seconds, self._try_now, recorder)

    def _pause_ends(self, recorder: Recorder) -> bool:
        """Plan no further attempt. Returns whether one was planned."""
        timer = self._paused.pop(recorder, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _bound_leaving(self, recorder: Recorder, reason: str) -> None:
        """Give up recorders whose consoles are gone, if it was tried for long enough, or if they are too many."""
        until = self._leaving.get(recorder)
        if until is not None and (not recorder.has_entries or asyncio.get_running_loop().time() >= until):
            self._give_up(recorder, reason)
        waiting = [left for left in self._leaving if left in self._paused]
        for oldest in waiting[: max(0, len(waiting) - LEAVING_MAX)]:
            self._give_up(oldest, reason)

    def _give_up(self, recorder: Recorder, reason: str) -> None:
        self._pause_ends(recorder)
        del self._leaving[recorder]
        self._waiting -= recorder.waiting
        recorder.take()
        self._due.discard(recorder)
        self._lost(recorder, reason)

    def _try_now(self, recorder: Recorder) -> None:
        """Try to write now, even if nothing was printed, because somebody may wait for the recording to go on."""
        if self._pause_ends(recorder) and not recorder.has_entries:
            recorder.note("recording")
        if recorder.has_entries:
            self.due(recorder)


def _write_all(batch: Batch) -> list[Outcome]:
    return [_write_one(recorder.log, entries) for recorder, entries in batch]


def _write_one(raw: RawLog, entries: list[Entry]) -> Outcome:
    """Write what one recorder has. If a bug prevents that, the entries are given up, so that the bug does not come
    back with every attempt."""
    try:
        return raw.write(entries)
    except Exception as error:
        supervise.tell(f"the recording in {raw.folder}", error)
        try:
            return raw.give_up(INTERNAL)
        except Exception as another:
            supervise.tell(f"the recording in {raw.folder}", another)
            return Outcome(INTERNAL, retry_s=RETRY_FIRST)
