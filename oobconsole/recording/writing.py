"""Hands what recorders have gathered to one thread that writes it, and tries again what could not be written.

When is it written? The event loop gathers what happens. It hands all of it to the thread when the thread has written
what it had before, but at least `GATHER_SECONDS` after something has happened. So output is in the kernel's hands
some tens of milliseconds after it was printed.

What if it cannot be written? Then it waits in its recorder until the next attempt. A recorder has the same bounds for
that as for a slow disk.
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
INTERNAL: Final = "internal error"

Batch = list[tuple[Recorder, list[Entry]]]


class Writer:
    """Writes for all recorders.

    Args:
        done: told, on the event loop, what became of what a recorder had.
    """

    def __init__(self, done: Callable[[Recorder, Outcome], object]) -> None:
        self._done = done
        self._due: set[Recorder] = set()
        self._paused: dict[Recorder, asyncio.TimerHandle] = {}  # could not be written, and wait to be tried again
        self._leaving: dict[str, Recorder] = {}  # of consoles that are gone, but not yet written to the end
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
        """A recorder's console is gone: write what the recorder has, in one attempt."""
        self._leaving = {name: left for name, left in self._leaving.items() if self._has(left)}
        self._leaving[recorder.console.name] = recorder
        self._try_now(recorder)

    @property
    def leaving(self) -> set[str]:
        """The consoles that are gone, but whose recordings are still being written."""
        return {name for name, left in self._leaving.items() if self._has(left)}

    async def left(self, name: str) -> None:
        """Wait until everything that a console of that name has left is written, or cannot be."""
        recorder = self._leaving.get(name)
        while recorder is not None and self._has(recorder):
            await self._one_batch()
        self._leaving.pop(name, None)

    async def flush(self, *, again: bool = False) -> None:
        """Wait until everything gathered so far is written, or cannot be.

        Args:
            again: whether what could not be written is tried once more now, before it is time.
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
        return recorder in self._due or self._writing is not None

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
        if recorder in self._leaving.values():
            if outcome.error:
                log.error("the end of a recording is lost, as its console is gone", console=recorder.console.name,
                          reason=outcome.error)  # fmt: skip
            return
        before = recorder.waiting
        recorder.give_back(outcome.rest)
        self._waiting += recorder.waiting - before
        if outcome.error:
            self._due.discard(recorder)
            loop = asyncio.get_running_loop()
            self._paused[recorder] = loop.call_later(outcome.retry_s, self._try_now, recorder)
        self._done(recorder, outcome)

    def _try_now(self, recorder: Recorder) -> None:
        """Try to write now, even if nothing was printed, because somebody may wait for the recording to go on."""
        paused = self._paused.pop(recorder, None)
        if paused is not None:
            paused.cancel()
            if not recorder.has_entries:
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
