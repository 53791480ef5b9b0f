"""The guest's output and our own lines on their way to a person's terminal."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from oobconsole.session.once import FilteredOnce
from oobconsole.session.prompt import erased
from oobconsole.session.request import ExitStatus, Peer
from oobconsole.session.safe import SafeFilter, next_slice
from oobconsole.terminal.restore import Lent

#: For how many seconds our lines wait at most until the guest has finished a character or a control sequence.
WHOLE_SECONDS: Final = 0.2
#: While a line of ours waits, output is looked at byte by byte: how many bytes between two turns of the event loop.
_STEP: Final = 128
#: How many bytes of output are sent at once, which is a packet of SSH's. Between two such parts our lines have their
#: turn.
PART: Final = 32768


class Notices(ABC):
    """The guest's output and our lines on their way to one terminal.

    Args:
        peer: the person at the terminal.
        once: filters what the console prints, for all of its terminals.
        filtered: whether everything is kept from the terminal that would make it answer or act.

    Attributes:
        covers: whether our lines stand over the guest's. Then it must be known what the terminal shows at the
            beginning.
    """

    covers = False

    def __init__(self, peer: Peer, once: FilteredOnce, *, filtered: bool) -> None:
        self.lent = Lent(filtered=filtered)
        self._peer = peer
        self._once = once
        self._filtered = filtered
        self._filter = SafeFilter()
        self._lock = asyncio.Lock()

    @property
    def _at_rest(self) -> bool:
        """Return whether something may be sent now without tearing a sequence of the guest's apart."""
        return self._filtered or self._filter.at_rest

    async def _shown(self, data: bytes) -> bytes:
        """Return what the terminal should be sent of the guest's output."""
        return self._sent(data, await self._once.feed(self._filter, data))

    def _shown_now(self, data: bytes) -> bytes:
        """Return the same for very little output, without a turn of the event loop for other tasks."""
        return self._sent(data, self._filter.feed(data, time.monotonic()))

    def _shown_at_once(self, data: bytes) -> bytes | None:
        """Do what `_shown` does, if that takes next to no time and the client takes the output now. Else return None,
        and do nothing."""
        if self._lock.locked() or not self._peer.takes(len(data)):
            return None
        filtered = self._once.feed_at_once(self._filter, data)
        return None if filtered is None else self._sent(data, filtered)

    def _sent(self, data: bytes, filtered: bytes) -> bytes:
        shown = filtered if self._filtered else data
        self.lent.feed(shown)
        return shown

    @abstractmethod
    async def begin(self, drawing: bytes, before: bytes) -> None:
        """Begin anew, with a drawing of the guest's screen, behind what the guest has printed `before`."""

    def _resume(self, before: bytes) -> None:
        """Prepare for output that may begin in the middle of a string, which began in the bytes before it."""
        self._filter = SafeFilter()
        self._filter.resume(before, time.monotonic())

    def new_guest(self) -> None:
        """Prepare for the output of another guest, which is not in the middle of a string."""
        self._resume(b"")

    @abstractmethod
    async def output(self, data: bytes) -> None:
        """Show `data`, which the guest has printed."""

    @abstractmethod
    def output_at_once(self, data: bytes) -> bool:
        """Show `data` without waiting. Returns False if that is not possible now; nothing has been done then."""

    @abstractmethod
    async def say(self, text: str, *, asked: bool = False) -> None:
        """Say something: unasked, or because the person wants to see it."""

    @abstractmethod
    async def welcome(self, text: str) -> None:
        """Say how things are at the console. It may have to wait until it can be seen."""

    @abstractmethod
    async def welcome_again(self, text: str) -> None:
        """Replace the text of a welcome that still waits, or can still be seen, because things have changed."""

    @abstractmethod
    async def ask(self, question: str) -> None:
        """Ask something. The question stays until `answered` is called."""

    @abstractmethod
    async def echo(self, keys: bytes) -> None:
        """Show `keys`, which the person has typed as a part of the answer."""

    @abstractmethod
    async def erase(self, text: str) -> None:
        """Remove `text`, the end of what the person has typed as the answer."""

    @abstractmethod
    async def answered(self) -> None:
        """Stop showing the question: it is answered, or was given up."""

    @abstractmethod
    def key(self) -> None:
        """The person has typed a key for the guest."""

    @abstractmethod
    async def show(self, title: str, lines: Sequence[str]) -> None:
        """Show lines that the person wants to see; if there is no room for all of them, the last ones."""

    @abstractmethod
    def resized(self) -> None:
        """The person's terminal has another size."""

    @abstractmethod
    def end(self) -> bytes:
        """Return the bytes that remove our lines and give the terminal back. Nothing more is sent from now on."""

    @abstractmethod
    async def run(self) -> ExitStatus:
        """Do whatever is due at certain times, such as removing our lines. Runs until it is cancelled."""


class LineNotices(Notices):
    """Our lines between the guest's lines, but never within a character or a control sequence."""

    def __init__(self, peer: Peer, once: FilteredOnce, *, filtered: bool) -> None:
        super().__init__(peer, once, filtered=filtered)
        self._pending: list[str] = []
        self._welcome = ""
        self._wake = asyncio.Event()

    async def begin(self, drawing: bytes, before: bytes) -> None:
        await self.output(drawing)
        self._resume(before)

    async def output(self, data: bytes) -> None:
        async with self._lock:
            at = 0
            while at < len(data):
                if self._pending:
                    await next_slice()
                    at += await self._step(data[at : at + _STEP])
                else:
                    await self._peer.write(await self._shown(data[at : at + PART]))
                    at += PART
                if at < len(data):
                    await asyncio.sleep(0)

    def output_at_once(self, data: bytes) -> bool:
        shown = None if self._pending else self._shown_at_once(data)
        if shown is None:
            return False
        self._peer.put(shown)
        return True

    async def _step(self, data: bytes) -> int:
        """Show output byte by byte until the filter comes to rest, and say there what waits to be said. Returns how
        many bytes of output were shown."""
        shown, at = b"", 0
        while at < len(data) and not (at and self._filter.at_rest):
            shown += self._shown_now(data[at : at + 1])
            at += 1
        await self._peer.write(shown)
        if self._filter.at_rest:
            await self._tell()
        return at

    async def say(self, text: str, *, asked: bool = False) -> None:
        async with self._lock:
            self._pending.append(text)
            if self._filter.at_rest:
                await self._tell()
            else:
                self._wake.set()

    async def welcome(self, text: str) -> None:
        self._welcome = text
        await self.say(text)

    async def welcome_again(self, text: str) -> None:
        if self._welcome in self._pending:
            self._pending[self._pending.index(self._welcome)] = self._welcome = text

    async def _tell(self) -> None:
        pending, self._pending = self._pending, []
        for text in pending:
            await self._peer.tell(text)

    async def ask(self, question: str) -> None:
        await self.say(question)

    async def echo(self, keys: bytes) -> None:
        await self._peer.write(keys)

    async def erase(self, text: str) -> None:
        await self._peer.write(erased(text))

    async def answered(self) -> None:
        """Do nothing: the question stays where it is, among the lines."""

    def key(self) -> None:
        """Do nothing: our lines stay where they are."""

    async def show(self, title: str, lines: Sequence[str]) -> None:
        await self.say(f"{title}:")
        async with self._lock:
            await self._peer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.say(f"end of {title}")

    def resized(self) -> None:
        """Do nothing: lines that were written do not depend on the size."""

    def end(self) -> bytes:
        return self.lent.restored()

    async def run(self) -> ExitStatus:
        """Show our lines after a while even if a sequence that the guest has begun never ends."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(WHOLE_SECONDS)
            async with self._lock:
                await self._tell()
