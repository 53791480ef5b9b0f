"""A reader is a cursor into a console's output. It waits for output, and is told what has happened at the console. If
it is slow, it loses bytes instead of delaying others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from oobconsole import supervise

if TYPE_CHECKING:
    from oobconsole.console.output import Output

_NOTICES_MAX: Final = 64
#: A reader that is behind reads up to the next multiple of so many bytes. So all readers that are behind read the
#: same pieces, and each piece is copied and filtered once for all of them.
PIECE: Final = 65536
#: A function that shows a piece of output without waiting. It returns False if it cannot, and has then done nothing.
AtOnce = Callable[[bytes], bool]


class Notice(NamedTuple):
    """A message to a reader about the console, at a place of its output.

    Attributes:
        text: the message, in words.
        kind: `notice`, or a kind on which a program acts: `skipped`, `lost`, `state`, `moved` (only for readers who
            may know of the other console) or `end`. A session sends itself `redraw`.
        detail: what a program wants to know besides, such as offsets and counts in bytes.
    """

    text: str
    kind: str = "notice"
    detail: Mapping[str, str | int] = MappingProxyType({})


class Reader:
    """A cursor into a console's output. Get one from `Console.attach`, and `close` it.

    Attributes:
        keeps_up: the reader is not slow, so the guest may have to wait for it (pace.py).
        position: the offset of the byte that `next` returns first. Others only read it.
    """

    def __init__(self, output: Output, position: int, notices: Iterable[tuple[int, Notice]]) -> None:
        self._output = output
        self.position = position
        self.keeps_up = True
        self._notices = deque(notices, maxlen=_NOTICES_MAX)
        self._waiter: asyncio.Future[None] | None = None  # of `next`, which waits
        self._at_once: AtOnce | None = None

    async def next(self, limit: int = PIECE, at_once: AtOnce | None = None) -> bytes | Notice:
        """Wait for output or a notice, and return whichever comes first. Output has at most `limit` bytes.

        Args:
            at_once: while this waits, output is shown by this function, as long as it can (`offer`). No task is woken
                then, which would cost more than to show a line to one of a hundred watchers.

        Raises:
            EOFError: the console is closed, and everything has been read.
        """
        while True:
            item = self._take(limit)
            if item:
                return item
            if self._output.closed:
                raise EOFError
            self._waiter, self._at_once = asyncio.get_running_loop().create_future(), at_once
            try:
                await self._waiter
            finally:
                self._waiter = self._at_once = None

    @property
    def waits(self) -> bool:
        """Whether somebody waits in `next`."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def is_offered(self) -> bool:
        """Whether output is shown by the function that `next` was given, so that `offer` is to be called."""
        return self._at_once is not None

    def offer(self) -> None:
        """Show what was printed by the function that `next` was given. What that function cannot show is returned by
        `next`."""
        while self._at_once is not None and not self._notices:
            if self.position == self._output.end:
                return
            chunk = self._output.read_from(self.position, PIECE - self.position % PIECE)
            if chunk.skipped or not self._shows(self._at_once, chunk.data):
                break
            self.position += len(chunk.data)
            self._output.has_read(self)
        self.wake()

    def _shows(self, at_once: AtOnce, data: bytes) -> bool:
        try:
            return at_once(data)
        except Exception as error:  # a bug at one reader is not the other readers' fault
            supervise.tell(f"a reader of {self._output.name}", error)
            return False

    def _take(self, limit: int) -> bytes | Notice:
        if self._notices:
            place, notice = self._notices[0]
            if place <= self.position:
                self._notices.popleft()
                return notice
            limit = min(limit, place - self.position)
        limit = min(limit, PIECE - self.position % PIECE)
        chunk = self._output.read_from(self.position, limit)
        if chunk.skipped:
            self.position = chunk.offset
            self._output.skipped += chunk.skipped
            detail = {"offset": chunk.offset - chunk.skipped, "bytes": chunk.skipped}
            return Notice(f"{chunk.skipped} bytes of output are not kept any more, and skipped", "skipped", detail)
        self.position += len(chunk.data)
        self._output.has_read(self)
        return chunk.data

    def skip_to(self, offset: int) -> None:
        """Go on at that offset, unless the reader is already behind it. The output before it was shown in another
        way.
        """
        self.position = max(self.position, min(offset, self._output.end))
        self._output.has_read(self)

    def shift(self, by: int) -> None:
        """All offsets have grown by `by`. A program is told so by a notice of the kind `skipped`."""
        before, self.position = self.position, self.position + by
        text = "the recording from before goes on here: offsets are higher"
        notice = Notice(f"{self._output.name}: {text} by {by}", "skipped", {"offset": before, "bytes": by})
        later = ((place + by, told) for place, told in self._notices)
        self._notices = deque(((self.position, notice), *later), maxlen=_NOTICES_MAX)
        self.wake()

    def wake(self, notice: Notice | None = None) -> None:
        """Make `next` look again. `notice` is returned after the output that was printed before it."""
        if notice is not None:
            self._notices.append((self._output.end, notice))
        self._at_once = None  # what comes now is behind what `next` returns
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def behind(self) -> bool:
        """Whether `next` would return something at once."""
        return bool(self._notices) or self._output.end > self.position

    def close(self) -> None:
        """Stop reading. A second call does nothing."""
        self._output.detach(self)
