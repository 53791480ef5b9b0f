"""Records one console: gathers, on the event loop, what happens at the console, for the writer's thread to write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from oobconsole import clock
from oobconsole.access import Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.recording.entries import CLOCK, Binding, Entry, Printed, Record
from oobconsole.recording.keystrokes import Keystrokes
from oobconsole.recording.rawlog import Outcome, RawLog

#: How much output of one console may wait for the disk, in bytes. When there is more, the recording has a hole.
WAITING_MAX: Final = 4 << 20
#: How many waiting bytes make the guest wait, if its line can make it wait (pace.py).
WAITING_HELD: Final = 2 << 20
#: How many other entries may wait. Further ones are left out.
ENTRIES_MAX: Final = 16384
#: How many waiting entries make output that follows output count as printed at the same time. Memory is for what was
#: printed, rather than for times.
TIMED_MAX: Final = 512
#: Within how many seconds output becomes one entry with one time; and how many bytes such an entry has at most.
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
    """Records one console, as an `Observer` of it.

    Args:
        console: the console.
        log: what the writer's thread appends to.
        hub: the writer that all recorders share.
        keystrokes: whether it is also recorded who typed what.

    Attributes:
        reason: why nothing is being recorded; empty: recording goes on.
        keeps_up: whether the disk keeps up with the output.
        binding: which context the output comes from. `log` has a binding of its own, which follows this one.
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
        self._typist: Keystrokes | None = None  # made at the first key, so that an idle console costs little
        self._entries: list[Entry] | None = None
        self._waiting = 0
        self._skipping = False  # whether output is being left out
        self._incomplete = False  # whether entries were left out behind those that the writer has taken

    # -- Observer -----------------------------------------------------------------------------------

    def output(self, offset: int, data: bytes) -> None:
        """Keep output for the writer, if there is room for it."""
        self._keep(offset, data, self._now(offset))
        if self._typist is not None:
            self._typist.output(data, time.monotonic())

    def _now(self, offset: int) -> float:
        """Return the time by the wall clock. If that clock was set, this is recorded first, at that offset."""
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
            last.data = bytearray(last.data + data)  # output that comes alone is not copied, and most of a flood does

    def _together(self, offset: int, now: float) -> Printed | None:
        """Return the entry to which this output can be added; None: it needs an entry of its own."""
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
        """Record something at the present end of the output."""
        end = self.console.end
        self._add_record(Record(self._now(end), end, kind, about))

    def bind(self, instance: int, number: int) -> int | None:
        """Note that the output comes from that context from now on.

        Args:
            instance: the native half's random number; 0: a context that is not recognized after a restart of the
                server.
            number: the context's number.

        Returns how many bytes of the context's output we have, lost ones included; None: the context is a new one.
        """
        end = self.console.end
        received = None
        if self.binding is not None and self.remembers(instance, number):
            received = max(0, end - self.binding.base)
        self._bound(Binding(instance, number, end - (received or 0)) if instance else None)
        return received

    def adopt(self, instance: int, number: int, received: int) -> None:
        """Note that the output has come from that context since before the console was recorded. `received` bytes of
        the context's output have come."""
        self._bound(Binding(instance, number, self.console.end - received) if instance else None)

    def unbind(self) -> None:
        """Note that the context is gone for good, so that another context may become the console."""
        self._bound(None)

    def remembers(self, instance: int, number: int | None = None) -> bool:
        """Return whether the output came from that context, or from any context of that native half, when the server
        ran last."""
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
        """Note that the server was started. That is recorded together with whatever happens first."""
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
        """Record what the console still has, because its recording could not be begun before, for that reason."""
        at, end = self.console.start, self.console.end
        self._began_at(at)
        self.reason = reason
        while at < end:
            chunk = self.console.read_from(at, _ENTRY_MAX)
            self.output(chunk.offset, chunk.data)
            at = chunk.offset + len(chunk.data)
        self._hub.due(self)

    def succeed(self, former: Recorder) -> None:
        """Take over what another recorder of this console's recording could not write before its console went. The
        console goes on at the offset where that console ended, so what both of them print is in order."""
        self._entries, self._waiting = former._entries, former._waiting
        self._skipping, self.reason = former._skipping, former.reason
        self._booted, self.binding = former._booted, former.binding
        self._hub.due(self)

    @property
    def missing(self) -> int:
        """How many bytes of output are not in the recording. Only while the writer's thread has nothing of it."""
        return max(0, self.console.end - self.log.end)

    def take(self) -> list[Entry]:
        """Return the entries to be written, which are the writer's from now on. Behind a hole stands an entry that
        shows where the hole ends."""
        self._incomplete = self._skipping
        if self._skipping:
            self._skipping = False
            now, end = clock.read(), self.console.end
            self._booted = now.booted
            self._add(Record(now.at, end, "recording"))
            self._add(Record(now.at, end, CLOCK, (now.booted,)))  # the clock and the binding may have been left out
            self._add(Record(now.at, end, "binding", self.binding or ()))
        entries, self._entries, self._waiting = self._entries or [], None, 0
        self.keeps_up = True
        self.console.pace.forget(self)
        return entries

    def give_back(self, rest: Sequence[Entry]) -> None:
        """Take back entries that could not be written. They wait for the next attempt, before what has come
        meanwhile.

        What if there are too many? The latest are left out. Nothing waits behind a hole, so that there is one hole,
        however many attempts there are.
        """
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
        """Add a record, or leave it out if there are too many. A binding or a change of the clock must not be
        missing: `take` repeats these behind what was left out."""
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
