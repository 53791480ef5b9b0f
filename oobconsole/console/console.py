"""The console of one port: its output goes to any number of readers, and its input comes from any number of writers.

The interceptor or the line calls the guest's side (`output`, `gap`, `bind`, `set_state`), which returns at once.
A slow reader loses bytes, and is told how many (pace.py says who is slow). A writer waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from typing import Final

from oobconsole.access import Principal
from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.pace import Hold, Pace
from oobconsole.console.reader import Notice, Reader
from oobconsole.console.ringbuffer import Chunk, RingBuffer
from oobconsole.console.states import ALLOWED, ENDED, NOBODY, ConsoleState, Observer
from oobconsole.errors import LineFault, StateError
from oobconsole.terminal.safe import BEFORE, SILENCE_SECONDS, says_where_it_ends
from oobconsole.words import Few, brief

#: How much input may wait for the guest, in bytes. When it is more, writers wait.
INPUT_MAX: Final = 65536
#: How much input a device is offered at a time, and how much a writer types before another one has its turn, in
#: bytes.
_OFFER: Final = 256
_TURN: Final = 4096
#: How much input a device is given in one turn of the event loop, in bytes. Why so little? A guest in the same
#: process handles all of it before the call returns: 60 kB of typed text held everybody for 147 ms.
PUMPED_MAX: Final = 512
_GAPS_MAX: Final = 256
_BEGUN_MAX: Final = 64
#: The reason of the state LIVE when the guest is another one than before, or the same one, started again.
NEW_GUEST: Final = "a new guest appeared"
_SILENCES_MAX: Final = 256
#: How many messages about what happens to the guest's machine are told in so many seconds.
NEWS_MAX: Final = 20
NEWS_SECONDS: Final = 10.0

#: A function that sends a break. It returns whether there was room for the break, or something to await if the line
#: answers later. Raises `LineFault`.
Break = Callable[[], bool | Awaitable[None]]

__all__ = ["NEW_GUEST", "NOBODY", "Break", "Console", "ConsoleState", "Observer"]


class Console:
    """One console.

    Args:
        name: the name by which users call the console.
        scrollback: how many bytes of output are kept.
        settings: how the console behaves.

    Attributes:
        reason: why the console is in its state, in words.
        closed: whether the console is closed, because the server stops or the console has vanished.
        input_lost: how many typed bytes no guest took, because it was gone or input was held.
        skipped: how many bytes of output readers were too slow for, all readers together.
        printed_at: when the guest printed last, by `time.monotonic`; None: never.
        pace: decides how fast the guest may print.
        break_unanswered: the line was asked for a break, and has not answered yet whether the break was sent.
    """

    def __init__(self, name: str, *, scrollback: int, settings: ConsoleConfig | None = None) -> None:
        self.name = name
        self.settings = settings or ConsoleConfig()
        self.reason = ConsoleState.WAITING.value
        self._reason_at = time.monotonic()
        self.closed = False
        self.input_lost = 0
        self.skipped = 0
        self.break_unanswered = False
        self.printed_at: float | None = None
        self._takers: list[Callable[[], bool]] = []
        self._attended_listeners: list[Callable[[bool], object]] = []
        self._state = ConsoleState.WAITING
        self._ring = RingBuffer(scrollback)
        self.pace = Pace(scrollback)
        self._readers: set[Reader] = set()
        self._aside: set[Reader] = set()
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_GAPS_MAX)
        self._begun: deque[tuple[int, float]] = deque(maxlen=_BEGUN_MAX)
        self._silences: deque[int] = deque(maxlen=_SILENCES_MAX)  # the offset of the first byte after each silence
        self._silenced = 0
        self._was_ended = False  # the guest had ended when an earlier server stopped
        self._observers: list[Observer] = []
        self._held = ""
        self._news = Few(NEWS_MAX, NEWS_SECONDS)
        self._device: Callable[[bytes], int] | None = None
        self._send_break: Break | None = None
        self._pumped = asyncio.Event()
        self._takes = False  # the device took something of the last offer
        self._pumps = False  # the next turn of the event loop gives the rest of the input to the device
        self._guests_gone = 0
        self._loss_told = False
        self._input = bytearray()
        self._input_turn = asyncio.Lock()
        self._input_room = asyncio.Event()
        self._input_empty = asyncio.Event()
        self._input_changed()

    # -- state --------------------------------------------------------------------------------------

    @property
    def state(self) -> ConsoleState:
        """What is known of the guest: whether it is there, away or gone."""
        return self._state

    def set_state(self, state: ConsoleState, reason: str = "") -> None:
        """Move to another state, and tell the people who are attached. Input that waits is lost when its guest ends.

        When does a new guest begin? When the state becomes LIVE after a guest that printed something has ended, or
        with the reason `NEW_GUEST`.

        Raises:
            StateError: `ALLOWED` does not have this transition.
        """
        is_new = state is ConsoleState.LIVE and self.end > 0
        is_new = is_new and (self._state in ENDED or self._was_ended or reason == NEW_GUEST)
        reason = NEW_GUEST if is_new else brief(reason) or state.value
        self._reason_at = time.monotonic()
        if state is self._state:
            self.reason = reason
            return
        if state not in ALLOWED[self._state]:
            raise StateError(self._state, state)
        first = self._state is ConsoleState.WAITING and not is_new
        self._was_ended = self._was_ended and state is not ConsoleState.LIVE
        self._state = state
        self.reason = reason
        if is_new:
            self._begun.append((self.end, time.time()))
        if not first:
            detail: dict[str, str | int] = {"state": state.name.lower(), "reason": self.reason}
            if is_new:
                detail["offset"] = self.end
            self._tell(Notice(f"{self.name}: {self.reason}", "state", detail))
        for observer in self._observers:
            observer.state_changed(state, self.reason)
        self._loss_told = False
        if state in NOBODY:
            self._guests_gone += 1
            self._lose_input()
        self._pumped.set()

    @property
    def reason_now(self) -> str:
        """The reason of the state, with its age if that is a second or more: `the next attempt is in 5 s` may have
        been said long ago."""
        ago = time.monotonic() - self._reason_at
        return self.reason if ago < 1 else f"{ago:.0f} s ago: {self.reason}"

    @property
    def refuses(self) -> str:
        """Why text that is typed now would be lost, in words; empty: it would not."""
        if self._held:
            return self._held
        return f"it is {self._state.name.lower()}: {self.reason}" if self._state in NOBODY else ""

    @property
    def attached(self) -> int:
        """How many readers there are, without those that read aside (`attach`)."""
        return len(self._readers)

    @property
    def start(self) -> int:
        """The offset of the oldest byte of output that is kept."""
        return self._ring.start

    @property
    def end(self) -> int:
        """The offset that the guest's next byte of output will have."""
        return self._ring.end

    @property
    def scrollback(self) -> int:
        """How many bytes of output are kept at most."""
        return self._ring.capacity

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Where output was lost before it reached the server: the latest pairs of an offset and the bytes lost."""
        return tuple(self._gaps)

    @property
    def begun(self) -> tuple[tuple[int, float], ...]:
        """Where the output of another guest begins: the latest pairs of an offset and the time at which that guest
        appeared, in seconds since 1970."""
        return tuple(self._begun)

    @property
    def began(self) -> int:
        """The offset at which the output of the present guest, or else of the last one, begins. 0 if unknown."""
        return self._begun[-1][0] if self._begun else 0

    # -- the guest's side ---------------------------------------------------------------------------

    def bind(
        self,
        device: Callable[[bytes], int] | None,
        send_break: Break | None = None,
        hold: Hold | None = None,
    ) -> None:
        """Say where input goes.

        Args:
            device: accepts bytes, and returns how many it took; None: nobody takes input now.
            send_break: sends a break; None: the line cannot.
            hold: makes the guest wait with its output (True) and go on (False); None: the guest cannot wait.
        """
        self._device = device
        self._send_break = send_break
        self.pace.bind(hold)
        self.pump()

    def output(self, data: bytes) -> None:
        """The guest has printed `data`."""
        now, offset = time.monotonic(), self._ring.end
        if self.printed_at is not None and self.is_silent():
            self._silences.append(offset)
            self._silenced += 1
        self.printed_at = now
        self._ring.append(data)
        for observer in self._observers:
            observer.output(offset, data)
        self.pace.printed(self._ring.end, self._readers)
        for reader in (*self._readers, *self._aside):
            reader.wake()

    def gap(self, lost: int) -> None:
        """`lost` bytes that the guest printed at this place never reached the server."""
        self._gaps.append((self._ring.end, lost))
        for observer in self._observers:
            observer.gap(self._ring.end, lost)
        self._tell(self._of_gap(self._ring.end, lost))

    def pump(self) -> None:
        """Give the device as much input as it accepts. The device's owner calls this when there is room again."""
        self._pumped.set()
        given = 0
        while self._input and self._device is not None and not self._held:
            if given >= PUMPED_MAX:
                self._pump_later()
                return
            offer = bytes(self._input[:_OFFER])
            taken = self._device(offer)
            given += taken
            self._takes = taken > 0
            del self._input[:taken]
            self._input_changed()
            if taken < len(offer):
                return

    def _pump_later(self) -> None:
        """Give the device more input in the next turn of the event loop, after others have had theirs."""
        if not self._pumps:
            self._pumps = True
            asyncio.get_running_loop().call_soon(self._pump_rest)

    def _pump_rest(self) -> None:
        self._pumps = False
        self.pump()

    # -- who keeps what happens ---------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Tell `observer` of everything that happens from now on."""
        self._observers.append(observer)

    def resume(
        self,
        offset: int,
        history: bytes,
        *,
        begun: Iterable[tuple[int, float]] = (),
        silences: Iterable[int] = (),
        ended: bool = False,
    ) -> None:
        """Go on where a recording ends. To be called before anything was printed.

        Args:
            offset: the offset of the next byte of output.
            history: the bytes before `offset`.
            begun: where another guest's output begins in the recording, as `Console.begun` says.
            silences: the offsets of the first byte after each silence.
            ended: the last guest of the recording has ended, so that the next one is another guest.
        """
        self._ring.restart(offset, history)
        self._begun.extend(begun)
        self._silences.extend((*silences, offset))  # counts as a silence: output may have been lost in between
        self._silenced = len(self._silences)
        self._was_ended = ended

    def resume_late(self, offset: int) -> None:
        """Go on where a recording ends, at `offset`, although something was printed already. The offsets of what was
        printed grow, so that it comes behind the end of the recording."""
        if offset:
            self._ring.shift(offset)
            self._gaps = deque(((place + offset, lost) for place, lost in self._gaps), maxlen=_GAPS_MAX)
            self._begun = deque(((place + offset, at) for place, at in self._begun), maxlen=_BEGUN_MAX)
            self._silences = deque((place + offset for place in self._silences), maxlen=_SILENCES_MAX)
            for reader in (*self._readers, *self._aside):
                reader.shift(offset)

    def hold_input(self, reason: str) -> None:
        """Give the guest no input until this is called with an empty `reason`. Typed text is lost meanwhile, and so
        is the input that waits now. Why not keep it? Commands must not run later, when nobody expects them. The
        people who are attached are told."""
        if reason != self._held:
            self._held = reason
            self._loss_told = bool(reason)  # the reason says so
            self._tell(Notice(f"{self.name}: {reason or 'input is taken again'}"))
            if reason:
                self._lose_input()
            self._pumped.set()

    # -- the users' side ----------------------------------------------------------------------------

    def attach(self, offset: int | None = None, *, aside: bool = False) -> Reader:
        """Begin to read at an absolute offset, or at the end. Output that is not kept any more is skipped, with a
        notice.

        Args:
            aside: the reader does not count as somebody who uses the console, and the guest never waits for it.
        """
        start = self._ring.end if offset is None else min(max(0, offset), self._ring.end)
        gaps = ((offset, self._of_gap(offset, lost)) for offset, lost in self._gaps if offset >= start)
        reader = Reader(self, start, gaps)
        if aside:
            self._aside.add(reader)
            return reader
        self._readers.add(reader)
        if len(self._readers) == 1:
            self._tell_attended(True)
        return reader

    def detach(self, reader: Reader) -> None:
        """End a reader. A second call does nothing."""
        self._aside.discard(reader)
        if reader in self._readers:
            self._readers.remove(reader)
            self.pace.forget(reader)
            if not self._readers:
                self._ring.forget_chunks()
                self._tell_attended(False)

    def on_attended(self, call: Callable[[bool], object]) -> None:
        """Call `call` with True when the first reader comes, and with False when the last one leaves. Readers aside
        do not count."""
        self._attended_listeners.append(call)

    def _tell_attended(self, attended: bool) -> None:
        for call in self._attended_listeners:
            call(attended)

    def on_take(self, call: Callable[[], bool]) -> None:
        """Register a function for `take`. It makes another program that has the line open leave it, and returns
        whether there was such a program."""
        self._takers.append(call)

    def take(self) -> bool:
        """Make another program that has the line open leave it. Returns whether there was such a program."""
        return any(tuple(call() for call in self._takers))  # the tuple, because each function must be called

    def read_from(self, offset: int, limit: int) -> Chunk:
        """Read up to `limit` bytes of the kept output from an absolute offset on."""
        return self._ring.read(offset, limit)

    def before(self, offset: int) -> bytes:
        """Return the output before that offset, as much as it takes to know whether the offset is in the middle of a
        string (an image, a title). Output before a silence, or of another guest, does not matter: a string ends
        there.
        """
        cuts = (*self._silences, *(at for at, _ in self._begun))
        oldest = max([self.start, *(at for at in cuts if at <= offset)])
        if offset >= self.end and self.is_silent():
            oldest = self.end
        before = b""
        for size in BEFORE:
            start = max(oldest, offset - size)
            before = self.read_from(start, max(0, offset - start)).data
            if says_where_it_ends(before) or start == oldest:
                break
        return before

    def is_silent(self, seconds: float = SILENCE_SECONDS) -> bool:
        """Return whether nothing has been printed for so many seconds."""
        return self.printed_at is None or time.monotonic() - self.printed_at >= seconds

    def clock(self, offset: int) -> float:
        """Return the time at which that byte was printed, in seconds by a clock that only advances when the guest is
        silent for a while."""
        later = sum(1 for at in self._silences if at > offset)
        return (self._silenced - later) * SILENCE_SECONDS

    def divided(self, chunk: Chunk) -> list[tuple[float, bytes]]:
        """Divide a chunk where the guest was silent, because a string ends there. Returns pairs of the time, by
        `clock`, and the bytes."""
        end = chunk.offset + len(chunk.data)
        cuts = [chunk.offset, *(at for at in self._silences if chunk.offset < at < end), end]
        return [
            (self.clock(begin), chunk.data[begin - chunk.offset : stop - chunk.offset])
            for begin, stop in pairwise(cuts)
        ]

    def has_read(self, reader: Reader) -> None:
        """A reader has moved on."""
        if reader in self._readers:
            self.pace.has_read(self._ring.end, reader)

    def tail(self, lines: int) -> int:
        """Return the offset at which the last `lines` lines begin. An unfinished line at the end does not count."""
        if not lines:
            return self.end
        kept = self._ring.read(self._ring.start, self._ring.end).data
        at = len(kept)
        for _ in range(lines + 1):
            at = kept.rfind(b"\n", 0, at)
            if at < 0:
                break
        return self._ring.start + at + 1

    async def write(self, data: bytes, who: Principal | None = None) -> None:
        """Type `data` into the guest. Returns when all of it waits for the guest, in order.

        While the guest does not read, the writer waits. Several writers take turns. Text for a guest that is gone is
        lost, because it is not meant for the guest that comes next.
        """
        for at in range(0, len(data), _TURN):
            async with self._input_turn:
                while len(self._input) >= INPUT_MAX:
                    self._input_room.clear()
                    await self._input_room.wait()
                for part in range(at, min(at + _TURN, len(data)), PUMPED_MAX):
                    if part and self._takes:
                        await asyncio.sleep(0)
                    self._enqueue(data[part : min(part + PUMPED_MAX, at + _TURN)], who)

    async def send_break(self, key: bytes = b"", who: Principal | None = None) -> bool:
        """Send a break condition after everything that was typed before, and then `key`. Nobody else can type between
        the two. The break waits, as typed text does, while the line has no room or is away. Returns False when there
        is nobody who could receive it.

        Raises:
            LineFault: the line refuses the break, or the guest for which it was meant is gone; the message says
                which.
        """
        guests_gone, self.break_unanswered = self._guests_gone, False
        async with self._input_turn:
            await self.input_taken()
            while self._may_take_break():
                if guests_gone != self._guests_gone:
                    raise LineFault("the guest for which it was meant is gone")
                self._pumped.clear()
                if await self._break_sent():
                    self._enqueue(key, who)
                    return True
                await self._pumped.wait()
        return False

    def _may_take_break(self) -> bool:
        """Can a break be sent now, or later, when the line or the native half is back?"""
        if self._held:
            return False
        if self._device is None:
            return self._state in (ConsoleState.LIVE, ConsoleState.AWAY)
        return self._send_break is not None

    async def _break_sent(self) -> bool:
        sent = self._send_break() if self._send_break is not None else False
        if isinstance(sent, bool):
            return sent
        self.break_unanswered = True
        await sent
        self.break_unanswered = False
        return True

    @property
    def takes_input(self) -> bool:
        """Whether somebody takes typed text, at once or as fast as the guest reads."""
        return self._device is not None

    def _enqueue(self, part: bytes, who: Principal | None) -> None:
        if not part:
            return
        if self._held:
            self.input_lost += len(part)
            return
        self._input += part
        for observer in self._observers:
            observer.typed(part, who)
        self._input_empty.clear()
        if self._state in NOBODY:
            self._lose_input()
        self.pump()

    @property
    def input_waiting(self) -> int:
        """How many typed bytes no guest has taken yet."""
        return len(self._input)

    async def input_taken(self) -> None:
        """Wait until the guest's UART has accepted everything that was typed."""
        await self._input_empty.wait()

    def announce(self, text: str) -> None:
        """Tell the people who are attached something about the console, after the output so far. The console's name
        comes first."""
        self._tell(Notice(f"{self.name}: {text}"))

    def tell_elsewhere(self, name: str) -> None:
        """A guest has appeared at another console, and may be the one that was here. The people are told who have a
        right at that console, so that they may know its name."""
        self._tell(Notice(f"{self.name}: a guest has appeared as {name}; it may be this one", "moved", {"to": name}))

    def happened(self, what: str) -> None:
        """Tell the people who are attached what has happened to the guest's machine. Only `NEWS_MAX` messages are
        told in `NEWS_SECONDS`, so that a guest that resets itself without end, or a garbling monitor, does not fill
        terminals.
        """
        if said := self._news.say(what):
            self.announce(said)

    def close(self, reason: str) -> None:
        """Close the console. Readers get the rest of the output, then the reason, and then the end."""
        self.closed = True
        self._tell(Notice(reason, "end", {"reason": reason}))

    def _input_changed(self) -> None:
        if len(self._input) < INPUT_MAX:
            self._input_room.set()
        if not self._input:
            self._input_empty.set()

    def _lose_input(self) -> None:
        if self._input and not self._loss_told:
            self._loss_told = True
            self._tell(Notice(f"{self.name}: what is typed now is lost, until there is a guest again"))
        self.input_lost += len(self._input)
        self._input.clear()
        self._input_changed()

    def _of_gap(self, offset: int, lost: int) -> Notice:
        text = f"{self.name}: {lost} bytes of output were lost while the server was away"
        return Notice(text, "lost", {"offset": offset, "bytes": lost})

    def _tell(self, notice: Notice) -> None:
        for reader in (*self._readers, *self._aside):
            reader.wake(notice)
