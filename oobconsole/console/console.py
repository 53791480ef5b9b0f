"""One port's byte stream: output to any number of readers, input from any number of writers.

The guest's side (`output`, `gap`, `bind`, `set_state`) is called from the interceptor and returns at once.
A reader that is slow loses bytes, and is told how many (pace.py says which one is slow); a writer waits.
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

#: Input that may wait for the guest, in bytes; beyond it, writers wait.
INPUT_MAX: Final = 65536
#: What a device is offered, and what writers take turns with, in bytes.
_OFFER: Final = 256
_TURN: Final = 4096
#: A device is given so much in one turn of the event loop, in bytes. A guest in the same process does all that it
#: does with it before it returns: 60 kB of typed text held everybody for 147 ms.
PUMPED_MAX: Final = 512
_GAPS_MAX: Final = 256
_BEGUN_MAX: Final = 64
#: Why a console is live: its guest is another one than was there before, or that one, started again.
NEW_GUEST: Final = "a new guest appeared"
_SILENCES_MAX: Final = 256
#: Of what happens to the machine so much is told in so many seconds.
NEWS_MAX: Final = 20
NEWS_SECONDS: Final = 10.0

#: Sends a break: was there room for it? Or to be awaited, where that is known later. Raises `LineFault`.
Break = Callable[[], bool | Awaitable[None]]

__all__ = ["NEW_GUEST", "NOBODY", "Break", "Console", "ConsoleState", "Observer"]


class Console:
    """One console.

    Args:
        name: as users say it.
        scrollback: bytes of output that are kept.
        settings: how it behaves.

    Attributes:
        reason: of its state, in words.
        closed: the server stops.
        input_lost: bytes typed that no guest took, it being gone, or input being held.
        skipped: bytes of output that readers were too slow for, all readers together.
        printed_at: when the guest printed last, by `time.monotonic`; None: never.
        pace: how fast the guest may print.
        break_unanswered: the line was asked for a break, and has not said yet whether it was sent.
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
        self._silences: deque[int] = deque(maxlen=_SILENCES_MAX)  # offsets of what came behind them
        self._silenced = 0
        self._was_ended = False  # the guest of a server before this one
        self._observers: list[Observer] = []
        self._held = ""
        self._news = Few(NEWS_MAX, NEWS_SECONDS)
        self._device: Callable[[bytes], int] | None = None
        self._send_break: Break | None = None
        self._pumped = asyncio.Event()
        self._takes = False  # the device took something when it was offered something last
        self._pumps = False  # the rest of the input is given in the next turn of the event loop
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
        """Where the guest is."""
        return self._state

    def set_state(self, state: ConsoleState, reason: str = "") -> None:
        """Move to another state, and tell whoever is attached. Input does not outlive its guest. Live behind the end
        of a guest that printed something, or with `NEW_GUEST` for its reason, it is another guest's."""
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
        """The reason, for whoever comes later than it did: `the next attempt is in 5 s` may be long ago."""
        ago = time.monotonic() - self._reason_at
        return self.reason if ago < 1 else f"{ago:.0f} s ago: {self.reason}"

    @property
    def refuses(self) -> str:
        """Why what is typed now is lost, in words; empty: it is not."""
        if self._held:
            return self._held
        return f"it is {self._state.name.lower()}: {self.reason}" if self._state in NOBODY else ""

    @property
    def attached(self) -> int:
        """How many readers there are, but for those aside."""
        return len(self._readers)

    @property
    def start(self) -> int:
        """Offset of the oldest byte that is kept."""
        return self._ring.start

    @property
    def end(self) -> int:
        """Offset that the guest's next byte will have."""
        return self._ring.end

    @property
    def scrollback(self) -> int:
        """Bytes of output that are kept at most."""
        return self._ring.capacity

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Where output was lost before it reached us: (offset, bytes lost), the latest ones."""
        return tuple(self._gaps)

    @property
    def begun(self) -> tuple[tuple[int, float], ...]:
        """Where another guest's output begins: (offset, when it appeared since 1970 in seconds), the latest ones."""
        return tuple(self._begun)

    @property
    def began(self) -> int:
        """Offset where the output of the guest that is there, or was there last, begins, as far as it is known."""
        return self._begun[-1][0] if self._begun else 0

    # -- the guest's side ---------------------------------------------------------------------------

    def bind(
        self,
        device: Callable[[bytes], int] | None,
        send_break: Break | None = None,
        hold: Hold | None = None,
    ) -> None:
        """Say where input goes: a function that accepts bytes and returns how many it took; one for a break; and one
        that makes the guest wait with its output, if it can be."""
        self._device = device
        self._send_break = send_break
        self.pace.bind(hold)
        self.pump()

    def output(self, data: bytes) -> None:
        """The guest printed `data`."""
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
        """`lost` bytes that the guest printed never reached us, at this place."""
        self._gaps.append((self._ring.end, lost))
        for observer in self._observers:
            observer.gap(self._ring.end, lost)
        self._tell(self._of_gap(self._ring.end, lost))

    def pump(self) -> None:
        """Give the device what it accepts; it calls this when it has room again."""
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
        """The rest has its turn when others have had theirs."""
        if not self._pumps:
            self._pumps = True
            asyncio.get_running_loop().call_soon(self._pump_rest)

    def _pump_rest(self) -> None:
        self._pumps = False
        self.pump()

    # -- who keeps what happens ---------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Tell `observer` of everything from now on."""
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
        """Go on where a recording ends. Before anything was printed.

        Args:
            history: the bytes before `offset`.
            begun, silences: where another guest's output begins in it, and what comes behind a silence.
            ended: its last guest has ended: whoever comes next is another one.
        """
        self._ring.restart(offset, history)
        self._begun.extend(begun)
        self._silences.extend((*silences, offset))  # nobody knows what it was in the middle of
        self._silenced = len(self._silences)
        self._was_ended = ended

    def resume_late(self, offset: int) -> None:
        """As `resume`, after something was printed: that comes behind the recording's end, `offset`."""
        if offset:
            self._ring.shift(offset)
            self._gaps = deque(((place + offset, lost) for place, lost in self._gaps), maxlen=_GAPS_MAX)
            self._begun = deque(((place + offset, at) for place, at in self._begun), maxlen=_BEGUN_MAX)
            self._silences = deque((place + offset for place in self._silences), maxlen=_SILENCES_MAX)
            for reader in (*self._readers, *self._aside):
                reader.shift(offset)

    def hold_input(self, reason: str) -> None:
        """Give the guest nothing of what is typed, until `reason` is empty again: it is lost, like what waits:
        commands must not run later, when nobody expects them. Whoever is attached is told."""
        if reason != self._held:
            self._held = reason
            self._loss_told = bool(reason)  # the reason says so
            self._tell(Notice(f"{self.name}: {reason or 'input is taken again'}"))
            if reason:
                self._lose_input()
            self._pumped.set()

    # -- the users' side ----------------------------------------------------------------------------

    def attach(self, offset: int | None = None, *, aside: bool = False) -> Reader:
        """Begin to read at an absolute offset, or at the end. What is not kept any more is skipped, with a notice.

        Args:
            aside: it counts as nobody who uses the console, and the guest never waits for it.
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
        """End a reader. Idempotent."""
        self._aside.discard(reader)
        if reader in self._readers:
            self._readers.remove(reader)
            self.pace.forget(reader)
            if not self._readers:
                self._ring.forget_chunks()
                self._tell_attended(False)

    def on_attended(self, call: Callable[[bool], object]) -> None:
        """Call `call` when the first reader comes (True), and when the last one leaves (False)."""
        self._attended_listeners.append(call)

    def _tell_attended(self, attended: bool) -> None:
        for call in self._attended_listeners:
            call(attended)

    def on_take(self, call: Callable[[], bool]) -> None:
        """Have `take` call `call`: a line that another program can have open makes that program leave the line, and
        returns whether there was such a program."""
        self._takers.append(call)

    def take(self) -> bool:
        """Have another program that has the line open leave it; returns whether there was one."""
        return any(tuple(call() for call in self._takers))  # each is asked

    def read_from(self, offset: int, limit: int) -> Chunk:
        """Read the kept output from an absolute offset."""
        return self._ring.read(offset, limit)

    def before(self, offset: int) -> bytes:
        """What was printed before that offset, as far as it says whether that is in the middle of a string. Nothing
        from before a silence says so, nor what another guest has printed: a string is given up there."""
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
        """Has nothing been printed for so long?"""
        return self.printed_at is None or time.monotonic() - self.printed_at >= seconds

    def clock(self, offset: int) -> float:
        """When that byte was printed, by a clock that only goes on when the guest is silent for a while."""
        later = sum(1 for at in self._silences if at > offset)
        return (self._silenced - later) * SILENCE_SECONDS

    def divided(self, chunk: Chunk) -> list[tuple[float, bytes]]:
        """What was read, divided where the guest was silent, with the `clock`: a string is given up there."""
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
        """Offset where the last `lines` lines begin, the unfinished one not counted."""
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
        """Type `data` into the guest; returns when all of it is on its way, in order. A guest that does
        not read keeps the writer waiting; several writers take turns. Only what is typed for a guest
        that is gone is lost: it is not meant for the one that comes next."""
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
        """Send a break condition behind everything that was typed before, then `key`, and let nobody type between.
        It waits, as what is typed does, while the line has no room or is away; False when nobody is there who could
        receive it.

        Raises:
            LineFault: why the line refuses it, or that the guest for which it was meant is gone.
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
        """Now, or when whoever brings the line is back."""
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
        """Is there somebody who takes what is typed, at once or as the guest reads?"""
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
        """Bytes typed that no guest has taken yet."""
        return len(self._input)

    async def input_taken(self) -> None:
        """Wait until the guest's UART has accepted everything that was typed."""
        await self._input_empty.wait()

    def announce(self, text: str) -> None:
        """Tell whoever is attached something about the console, behind what was printed so far."""
        self._tell(Notice(f"{self.name}: {text}"))

    def tell_elsewhere(self, name: str) -> None:
        """A guest has appeared at that other console, and may be the one that was here. Whoever may know of that
        console is told."""
        self._tell(Notice(f"{self.name}: a guest has appeared as {name}; it may be this one", "moved", {"to": name}))

    def happened(self, what: str) -> None:
        """As `announce`, for what happens to the guest's machine, of which only so much is told in so many seconds: a
        guest that resets itself without end, and a monitor that garbles, do not fill terminals."""
        if said := self._news.say(what):
            self.announce(said)

    def close(self, reason: str) -> None:
        """The server stops: readers get what is left, the reason, then the end."""
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
