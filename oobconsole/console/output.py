"""What a guest printed: its last bytes, where it was silent, and everybody who reads them.

A slow reader loses bytes, and is told how many (pace.py says who is slow).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final

from oobconsole.console.pace import Pace
from oobconsole.console.reader import Notice, Reader
from oobconsole.console.ringbuffer import Chunk, RingBuffer
from oobconsole.console.states import Observer
from oobconsole.terminal.safe import BEFORE, SILENCE_SECONDS, says_where_it_ends

#: After output was shown, more of it gathers for so long, in seconds, unless it is so many bytes. A packet for each
#: 16 bytes of a busy guest would cost the server more time than the guest's UART does. The first byte after a pause
#: is shown at once.
GATHER_SECONDS: Final = 0.004
GATHERED: Final = 32768
_GAPS_MAX: Final = 256
_BEGUN_MAX: Final = 64
_SILENCES_MAX: Final = 256


class Output:
    """The output of one console. It goes to any number of readers.

    Args:
        name: the name by which users call the console.
        scrollback: how many bytes of output are kept.

    Attributes:
        closed: whether the console is closed, because the server stops or the console has vanished.
        skipped: how many bytes of output readers were too slow for, all readers together.
        printed_at: when the guest printed last, by `time.monotonic`; None: never.
        pace: decides how fast the guest may print.
    """

    def __init__(self, name: str, *, scrollback: int) -> None:
        self.name = name
        self.closed = False
        self.skipped = 0
        self.printed_at: float | None = None
        self.pace = Pace(scrollback)
        self._ring = RingBuffer(scrollback)
        self._readers: set[Reader] = set()
        self._aside: set[Reader] = set()
        self._gaps: deque[tuple[int, int]] = deque(maxlen=_GAPS_MAX)
        self._begun: deque[tuple[int, float]] = deque(maxlen=_BEGUN_MAX)
        self._silences: deque[int] = deque(maxlen=_SILENCES_MAX)  # the offset of the first byte after each silence
        self._silenced = 0
        self._observers: list[Observer] = []
        self._attended_listeners: list[Callable[[bool], object]] = []
        self._offer: asyncio.Handle | None = None  # offers what was printed to the readers, soon or in a moment
        self._offers_soon = False
        self._offered = 0  # what is before this offset was offered
        self._not_before = 0.0  # little output is not offered again until then, by the loop's time

    # -- what is kept -------------------------------------------------------------------------------

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
    def silences(self) -> tuple[int, ...]:
        """The offsets of the first byte after each of the latest silences."""
        return tuple(self._silences)

    @property
    def began(self) -> int:
        """The offset at which the output of the present guest, or else of the last one, begins. 0 if unknown."""
        return self._begun[-1][0] if self._begun else 0

    # -- the guest's side ---------------------------------------------------------------------------

    def output(self, data: bytes) -> None:
        """The guest has printed `data`."""
        now, offset = time.monotonic(), self._ring.end
        if self.printed_at is not None and now - self.printed_at >= SILENCE_SECONDS:
            self._silences.append(offset)
            self._silenced += 1
        self.printed_at = now
        self._ring.append(data)
        for observer in self._observers:
            observer.output(offset, data)
        self.pace.printed(self._ring.end, self._readers)
        for readers in (self._readers, self._aside):
            for reader in readers:
                if not reader.is_offered:
                    reader.wake()
                elif not self._offers_soon:
                    self._offer_soon()

    def _offer_soon(self) -> None:
        """Offer what was printed to all readers: in the next turn of the event loop, or after it has gathered."""
        loop = asyncio.get_running_loop()
        is_much = self._ring.end - self._offered >= GATHERED
        delay = 0.0 if is_much else self._not_before - loop.time()
        if delay > 0:
            if self._offer is None:
                self._offer = loop.call_later(delay, self._offer_now)
            return
        if self._offer is not None:
            self._offer.cancel()
        self._offers_soon = True
        self._offer = loop.call_soon(self._offer_now)

    def _offer_now(self) -> None:
        self._offer, self._offers_soon = None, False
        is_little = self._ring.end - self._offered < GATHERED
        self._offered = self._ring.end
        self._not_before = asyncio.get_running_loop().time() + GATHER_SECONDS if is_little else 0.0
        for reader in (*self._readers, *self._aside):
            reader.offer()

    def gap(self, lost: int) -> None:
        """`lost` bytes that the guest printed at this place never reached the server."""
        self._gaps.append((self._ring.end, lost))
        for observer in self._observers:
            observer.gap(self._ring.end, lost)
        self._tell(self._of_gap(self._ring.end, lost))

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
    ) -> None:
        """Go on where a recording ends. To be called before anything was printed.

        Args:
            offset: the offset of the next byte of output.
            history: the bytes before `offset`.
            begun: where another guest's output begins in the recording, as `Console.begun` says.
            silences: the offsets of the first byte after each silence.
        """
        self._ring.restart(offset, history)
        self._begun.extend(begun)
        self._silences.extend((*silences, offset))  # counts as a silence: output may have been lost in between
        self._silenced = len(self._silences)

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

    def _another_guest(self) -> None:
        """What is printed from now on is another guest's output."""
        self._begun.append((self.end, time.time()))

    # -- readers -----------------------------------------------------------------------------------

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

    def has_read(self, reader: Reader) -> None:
        """A reader has moved on."""
        if reader in self._readers:
            self.pace.has_read(self._ring.end, reader)

    def close(self, reason: str) -> None:
        """Close the console. Readers get the rest of the output, then the reason, and then the end."""
        self.closed = True
        self._tell(Notice(reason, "end", {"reason": reason}))

    def _of_gap(self, offset: int, lost: int) -> Notice:
        text = f"{self.name}: {lost} bytes of output were lost while the server was away"
        return Notice(text, "lost", {"offset": offset, "bytes": lost})

    def _tell(self, notice: Notice) -> None:
        for reader in (*self._readers, *self._aside):
            reader.wake(notice)

    # -- what was printed where ---------------------------------------------------------------------

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
