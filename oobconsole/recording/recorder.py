"""Records one console: gathers what happens there, on the event loop, for the writer's thread to write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from oobconsole import clock
from oobconsole.access import Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.recording.keystrokes import Keystrokes
from oobconsole.recording.rawlog import CLOCK, Binding, Entry, Outcome, Printed, RawLog, Record

#: How much output of one console may wait for the disk, in bytes. When there is more, the recording has a hole.
WAITING_MAX: Final = 4 << 20
#: When so much waits, the guest must wait, if its line can make it wait (pace.py).
WAITING_HELD: Final = 2 << 20
#: How many other entries may wait. When there are more, they are left out.
ENTRIES_MAX: Final = 16384
#: When so many wait, output that follows output counts as printed at the same time: memory is for what was printed.
TIMED_MAX: Final = 512
#: Output that comes within so many seconds becomes one entry with one time, which has so many bytes at most.
_TOGETHER: Final = 0.01
_ENTRY_MAX: Final = 16384
TOO_SLOW: Final = "the disk is too slow"


class Hub(Protocol):
    """The writer that all recorders share, as a recorder sees it."""

    def due(self, recorder: Recorder) -> None:
        """The recorder has entries to be written."""

    def room(self, size: int) -> bool:
        """Return whether there is room for so many more bytes of all consoles together. If so, they count as
        waiting."""

    def typing(self, recorder: Recorder) -> None:
        """The recorder waits for echoes: call its `expire` now and then."""

    def stopped(self, recorder: Recorder, reason: str) -> None:
        """Nothing can be recorded any more, for that reason."""

    def resumed(self, recorder: Recorder, hole: int) -> None:
        """Recording goes on; `hole` bytes are missing."""

    def damaged(self, recorder: Recorder, what: str, gone: int) -> None:
        """Another program has changed the files. `what` says how, and `gone` is how many recorded bytes are lost."""


class Recorder:
    """An `Observer` of a console.

    Args:
        keystrokes: also record who typed what.

    Attributes:
        reason: why nothing is being recorded; empty: it is.
        keeps_up: the disk does.
        binding: whose output it is; the writer has its own, which follows.
    """

    __slots__ = (
        "_booted",
        "_entries",
        "_hub",
        "_incomplete",
        "_keystrokes",
        "_skipping",
        "_typist",
        "_waiting",
        "binding",
        "console",
        "keeps_up",
        "log",
        "reason",
    )

    def __init__(self, console: Console, log: RawLog, hub: Hub, *, keystrokes: bool) -> None:
        self.console = console
        self.log = log
        self.reason = ""
        self.keeps_up = True
        self.binding: Binding | None = None
        self._hub = hub
        self._booted = clock.read().booted
        self._keystrokes = keystrokes
        self._typist: Keystrokes | None = None  # made by the first key: an idle console costs little
        self._entries: list[Entry] | None = None
        self._waiting = 0
        self._skipping = False  # output is being left out
        self._incomplete = False  # some entries were left out, of those that the writer has taken or will take

    # -- Observer -----------------------------------------------------------------------------------

    def output(self, offset: int, data: bytes) -> None:
        """Keep output for the writer, if there is room for it."""
        self._keep(offset, data, self._now(offset))
        if self._typist is not None:
            self._typist.output(data, time.monotonic())

    def _now(self, offset: int) -> float:
        """The time by the wall clock. If that clock was set, this is recorded first, at that offset."""
        now = clock.read()
        if clock.was_set(self._booted, now.booted):
            self._booted = now.booted
            self._add_record(Record(now.at, offset, CLOCK, (now.booted,)))
        return now.at

    def _keep(self, offset: int, data: bytes, now: float) -> None:
        if self._skipping or self._waiting + len(data) > WAITING_MAX or not self._hub.room(len(data)):
            self._skip()
            return
        self._waiting += len(data)
        if self._waiting > WAITING_HELD and not self.reason:
            self.console.pace.wait_for(self)
        last = self._together(offset, now)
        if last is None:
            self._add(Printed(now, offset, data))
        elif isinstance(last.data, bytearray):
            last.data += data
        else:
            last.data = bytearray(last.data + data)  # what comes alone, and most of a flood does, is not copied

    def _together(self, offset: int, now: float) -> Printed | None:
        """The entry that this output can be added to; None: it needs one of its own."""
        if not self._entries:
            return None
        last = self._entries[-1]
        if not isinstance(last, Printed) or len(last.data) >= _ENTRY_MAX or last.offset + len(last.data) != offset:
            return None
        return last if now - last.at < _TOGETHER or len(self._entries) >= TIMED_MAX else None

    def gap(self, offset: int, lost: int) -> None:
        """Record that bytes were lost. They count as the context's output, but have no offsets."""
        self.note("lost", lost)
        if self.binding is not None:
            self._bound(self.binding._replace(base=self.binding.base - lost))

    def typed(self, data: bytes, who: Principal | None) -> None:
        """Compare what was typed with what the guest echoes, and record that."""
        if self._keystrokes:
            if self._typist is None:
                self._typist = Keystrokes(self._was_typed)
            self._typist.typed(data, who, time.monotonic())
            self._hub.typing(self)

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        """Record the state in the index."""
        self.note("state", state.name.lower(), reason)

    # -- what else there is to record ---------------------------------------------------------------

    def note(self, kind: str, *about: Any) -> None:
        """Record something, at this place of the output."""
        end = self.console.end
        self._add_record(Record(self._now(end), end, kind, about))

    def bind(self, instance: int, number: int) -> int | None:
        """The console is that context's from now on (instance 0: one that no restart of ours outlives). Returns how
        many bytes of its output we have, lost ones included; None when it is a new one."""
        end = self.console.end
        received = None
        if self.binding is not None and self.remembers(instance, number):
            received = max(0, end - self.binding.base)
        self._bound(Binding(instance, number, end - (received or 0)) if instance else None)
        return received

    def adopt(self, instance: int, number: int, received: int) -> None:
        """The console is that context's since before it was recorded; so many bytes of its output have come."""
        self._bound(Binding(instance, number, self.console.end - received) if instance else None)

    def unbind(self) -> None:
        """The context is gone for good: the console is anybody's again."""
        self._bound(None)

    def remembers(self, instance: int, number: int | None = None) -> bool:
        """Was the console that context's, or one's of that native half, when the server was here last?"""
        found = self.binding
        return found is not None and found.instance == instance and number in (None, found.number)

    def _bound(self, binding: Binding | None) -> None:
        if binding != self.binding:
            self.binding = binding
            self.note("binding", *(binding or ()))

    def _was_typed(self, began: float, who: Principal | None, what: str | int) -> None:
        at = self._now(self.console.end) - (time.monotonic() - began)
        name, address = (who.name, who.address) if who else ("", "")
        self._add_record(Record(at, self.console.end, "typed", (name, address, what)))

    # -- the hub's side -----------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many bytes of output wait for the writer to take them."""
        return self._waiting

    @property
    def has_entries(self) -> bool:
        """Whether there is anything for the writer to take."""
        return bool(self._entries) or self._skipping

    def began(self) -> None:
        """The server was started; that is recorded with whatever happens first."""
        self._began_at(self.console.end)

    def _began_at(self, offset: int) -> None:
        self.binding = self.log.binding
        now = clock.read()
        self._booted = now.booted
        self._entries = [
            Record(now.at, offset, CLOCK, (now.booted,)),
            Record(now.at, offset, "server", ("started",)),
        ]

    def began_late(self, reason: str) -> None:
        """It could not be recorded so far, for that reason: what the console still has is."""
        at, end = self.console.start, self.console.end
        self._began_at(at)
        self.reason = reason
        while at < end:
            chunk = self.console.read_from(at, _ENTRY_MAX)
            self.output(chunk.offset, chunk.data)
            at = chunk.offset + len(chunk.data)
        self._hub.due(self)

    def take(self) -> list[Entry]:
        """What is to be written; it is the writer's now. Behind a hole goes an entry that shows where it ends."""
        self._incomplete = self._skipping
        if self._skipping:
            self._skipping = False
            now, end = clock.read(), self.console.end
            self._booted = now.booted
            self._add(Record(now.at, end, "recording"))
            self._add(Record(now.at, end, CLOCK, (now.booted,)))  # these may have been left out
            self._add(Record(now.at, end, "binding", self.binding or ()))
        entries, self._entries, self._waiting = self._entries or [], None, 0
        self.keeps_up = True
        self.console.pace.forget(self)
        return entries

    def give_back(self, rest: Sequence[Entry]) -> None:
        """That could not be written: it waits for the next attempt, before what came meanwhile. Beyond the bounds the
        latest is left out. Behind a hole nothing waits, so that however many attempts there are, it is one hole."""
        if not rest:
            return
        entries = [*rest, *(self._entries or ())]
        hole = self._skipping or self._incomplete
        if self._incomplete:
            entries = _before_hole(rest)
        size = sum(len(entry.data) for entry in entries if isinstance(entry, Printed))
        while size > WAITING_MAX or len(entries) > ENTRIES_MAX + TIMED_MAX:
            left_out = entries.pop()
            size -= len(left_out.data) if isinstance(left_out, Printed) else 0
            hole = True
        self._entries, self._waiting, self._skipping = entries, size, hole

    def expire(self) -> bool:
        """Give up echoes that do not come. Returns whether there are still some to wait for."""
        if self._typist is not None:
            self._typist.expire(time.monotonic())
        return self._typist is not None and self._typist.pending

    def finish(self) -> None:
        """Record the typed lines that still wait for their echo, because nothing more will come."""
        if self._typist is not None:
            self._typist.close()

    def written(self, outcome: Outcome) -> None:
        """The writer has written, or could not; `outcome` says how it went."""
        if outcome.damage:
            self._hub.damaged(self, outcome.damage, outcome.gone)
        if outcome.error:
            self._stop(outcome.error)
        elif self.reason and not self._skipping and (outcome.hole or self.reason != TOO_SLOW):
            self.reason = ""
            self._hub.resumed(self, outcome.hole)

    def _skip(self) -> None:
        self._skipping = True
        self._stop(TOO_SLOW)
        self._hub.due(self)

    def _stop(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason
            self._hub.stopped(self, reason)

    def _add_record(self, record: Record) -> None:
        """A binding, or a clock's, must not be missing: `take` says it again behind what was left out."""
        if self._skipping:
            return
        if self._entries is None or len(self._entries) < ENTRIES_MAX:
            self._add(record)
        elif record.kind in ("binding", CLOCK):
            self._skipping = True

    def _add(self, entry: Entry) -> None:
        if self._entries is None:
            self._entries = []
        self._entries.append(entry)
        self._hub.due(self)


def _before_hole(entries: Sequence[Entry]) -> list[Entry]:
    """The entries before a hole, without those that `take` has added behind it."""
    added = [n for n, entry in enumerate(entries) if isinstance(entry, Record) and entry.kind == "recording"]
    return list(entries[: added[-1]] if added else entries)
